package main

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

const (
	// completeTimeout is how long the server may take to say what there is: a shell waits for it.
	completeTimeout = time.Second
	// completeMost is how many names are offered.
	completeMost = 200
)

// names asks the server for names, each with what tells it from others.
type names func(ctx context.Context, conn *grpc.ClientConn) ([]cobra.Completion, error)

// nameable is what the words in the usage of commands, and the flags, stand for.
var nameable = map[string]names{"BUCKET": bucketNames, "KEY": keyNames, "SUBJECT": keyNames, "NODE": nodeNames, "LAYOUT": layoutNumbers, "SNAPSHOT": snapshotNames}

var flagNames = map[string]names{"key": keyNames, "node": nodeNames}

var usageWord = regexp.MustCompile(`^\[?([A-Z]+)(\[/KEY\])?\]?$`)

// completes has the shell complete arguments and flags of all commands by what the server knows.
func completes(root *cobra.Command) {
	for _, cmd := range allCommands(root) {
		var words []names
		for _, word := range strings.Fields(cmd.Use)[1:] {
			m := usageWord.FindStringSubmatch(word)
			if m == nil {
				break // flags follow
			}
			words = append(words, nameable[m[1]])
		}
		cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) >= len(words) || words[len(args)] == nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return complete(cmd, words[len(args)])
		}
		for flag, ask := range flagNames {
			if cmd.Flags().Lookup(flag) != nil {
				// It fails only if there is no such flag.
				_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
					return complete(cmd, ask)
				})
			}
		}
	}
}

// complete offers what the server answers; nothing where there is no server or it takes too long.
func complete(cmd *cobra.Command, ask names) ([]cobra.Completion, cobra.ShellCompDirective) {
	c := &connection{}
	c.takeFlags(cmd)
	var found []cobra.Completion
	if cmd.Context() == nil {
		cmd.SetContext(context.Background())
	}
	err := c.connected(cmd, func(ctx context.Context, conn *grpc.ClientConn) (err error) {
		ctx, cancel := context.WithTimeout(ctx, completeTimeout)
		defer cancel()
		found, err = ask(ctx, conn)
		return err
	})
	if err != nil {
		cobra.CompErrorln(err.Error())
		return nil, cobra.ShellCompDirectiveError
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}

func bucketNames(ctx context.Context, conn *grpc.ClientConn) (found []cobra.Completion, err error) {
	answer, err := adminv1.NewAdminServiceClient(conn).ListBuckets(ctx, &adminv1.ListBucketsRequest{Limit: completeMost})
	for _, b := range answer.GetBuckets() {
		found = append(found, b.GetName())
	}
	return found, err
}

// keyNames are the names of keys, and the access keys of those that share a name.
func keyNames(ctx context.Context, conn *grpc.ClientConn) (found []cobra.Completion, err error) {
	answer, err := adminv1.NewAdminServiceClient(conn).ListKeys(ctx, &adminv1.ListKeysRequest{Limit: completeMost})
	count := map[string]int{}
	for _, k := range answer.GetKeys() {
		count[k.GetName()]++
	}
	for _, k := range answer.GetKeys() {
		one := cobra.CompletionWithDesc(k.GetName(), k.GetAccessKey())
		if count[k.GetName()] > 1 || strings.ContainsAny(k.GetName(), " \t") {
			one = cobra.CompletionWithDesc(k.GetAccessKey(), k.GetName())
		}
		found = append(found, one)
	}
	return found, err
}

func nodeNames(ctx context.Context, conn *grpc.ClientConn) (found []cobra.Completion, err error) {
	answer, err := adminv1.NewAdminServiceClient(conn).GetStatus(ctx, &adminv1.GetStatusRequest{NodesOnly: true})
	for _, n := range answer.GetNodes() {
		about := slices.DeleteFunc([]string{n.GetMachine(), n.GetZone(), stateOf(n)}, func(s string) bool { return s == "" })
		found = append(found, cobra.CompletionWithDesc(n.GetId(), strings.Join(about, ", ")))
	}
	return found, err
}

// layoutNumbers are those of earlier layouts.
func layoutNumbers(ctx context.Context, conn *grpc.ClientConn) (found []cobra.Completion, err error) {
	answer, err := adminv1.NewAdminServiceClient(conn).GetLayout(ctx, &adminv1.GetLayoutRequest{})
	for _, number := range answer.GetHistory() {
		if number != answer.GetCurrent().GetNumber() {
			found = append(found, strconv.FormatUint(number, 10))
		}
	}
	return found, err
}

func snapshotNames(ctx context.Context, conn *grpc.ClientConn) (found []cobra.Completion, err error) {
	answer, err := metadatav1.NewSnapshotServiceClient(conn).ListSnapshots(ctx, &metadatav1.ListSnapshotsRequest{})
	for _, s := range answer.GetSnapshots() {
		found = append(found, s.GetName())
	}
	return found, err
}
