package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// snapshotJSON is a snapshot as --json shows it.
type snapshotJSON struct {
	Name         string   `json:"name,omitempty"`
	Taken        string   `json:"taken,omitempty"`
	Buckets      int64    `json:"buckets"`
	Keys         int64    `json:"keys"`
	Objects      int64    `json:"objects"`
	Bytes        int64    `json:"bytes"`
	Size         int64    `json:"size,omitempty"`
	Incomplete   int64    `json:"incomplete"`
	RecoveryCode string   `json:"recovery_code,omitempty"`
	InFolder     bool     `json:"in_folder"`
	InChunks     bool     `json:"in_chunks"`
	Lost         []string `json:"lost,omitempty"`
}

func newSnapshotJSON(s *metadatav1.Snapshot) snapshotJSON {
	v := snapshotJSON{Name: s.GetName(), Buckets: s.GetBuckets(), Keys: s.GetKeys(), Objects: s.GetObjects(), Bytes: s.GetBytes(), Size: s.GetSize(),
		Incomplete: s.GetIncomplete(), RecoveryCode: s.GetRecoveryCode(), InFolder: s.GetInFolder(), InChunks: s.GetInChunks()}
	if s.GetTaken() != 0 {
		v.Taken = time.UnixMicro(s.GetTaken()).UTC().Format(time.RFC3339)
	}
	return v
}

func newMetadata() *cobra.Command {
	c := &connection{}
	cmd := &cobra.Command{
		Use: "metadata", Short: "Snapshots of all metadata: take, list, verify, restore", Args: onlyCommands, RunE: showHelp,
		Long: `Snapshots of all metadata: take, list, verify, restore.

These commands speak to the server that keeps the metadata: a standalone one, or a metadata service (--data, --admin).
Snapshots are also taken by themselves (metadata.snapshot.interval), into the folder "snapshots" of the data folder, and into the
cluster's own chunks: from there a recovery code restores one without any metadata. Keep the code where the cluster is not.`,
	}
	c.addFlags(cmd)
	cmd.AddCommand(snapshotTake(c), snapshotList(c), snapshotVerify(c), snapshotRestore(c))
	return cmd
}

// progressOf is what the messages of long calls have in common.
type progressOf interface {
	GetProgress() *metadatav1.Snapshot
	GetResult() *metadatav1.Snapshot
}

// follow reads messages until the result is there, and tells how far it is. each, if not nil, says whether it wrote something about a message.
func follow[M progressOf](cmd *cobra.Command, doing string, receive func() (M, error), each func(M) bool) (*metadatav1.Snapshot, error) {
	shown := newProgress(cmd.ErrOrStderr())
	for {
		m, err := receive()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("the server ended without a result; look at its log")
		}
		if err != nil {
			return nil, err
		}
		if p := m.GetProgress(); p != nil {
			// What cannot be shown does not stop the work.
			_ = shown.draw([]string{fmt.Sprintf("%s: %d objects, %s", doing, p.GetObjects(), bytesText(p.GetBytes()))}, time.Now(), false)
		}
		if each != nil && each(m) {
			shown.drawn = 0 // what follows is drawn below that
		}
		if r := m.GetResult(); r != nil {
			return r, nil
		}
	}
}

func (v *snapshotJSON) write(w io.Writer) {
	if v.Name != "" {
		row(w, "snapshot", v.Name)
	}
	row(w, "taken", v.Taken)
	row(w, "buckets", v.Buckets)
	row(w, "keys", v.Keys)
	row(w, "objects", fmt.Sprintf("%d, %s", v.Objects, bytesText(v.Bytes)))
	if v.Incomplete > 0 {
		row(w, "left out", fmt.Sprintf("%d objects, whose metadata is damaged", v.Incomplete))
	}
	if v.RecoveryCode != "" {
		row(w, "recovery code", v.RecoveryCode)
	}
}

func snapshotTake(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "snapshot", Short: "Take a snapshot now, while clients write", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.connected(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				stream, err := metadatav1.NewSnapshotServiceClient(conn).TakeSnapshot(ctx, &metadatav1.TakeSnapshotRequest{})
				if err != nil {
					return err
				}
				done, err := follow(cmd, "reading", stream.Recv, nil)
				if err != nil {
					return err
				}
				v := newSnapshotJSON(done)
				return c.show(cmd, v, v.write)
			})
		},
	}
}

func snapshotList(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "snapshots", Short: "List the snapshots that there are", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.connected(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				ctx, cancel := context.WithTimeout(ctx, callTimeout)
				defer cancel()
				answer, err := metadatav1.NewSnapshotServiceClient(conn).ListSnapshots(ctx, &metadatav1.ListSnapshotsRequest{})
				if err != nil {
					return err
				}
				all := []snapshotJSON{}
				for _, s := range answer.GetSnapshots() {
					all = append(all, newSnapshotJSON(s))
				}
				return c.show(cmd, all, func(w io.Writer) {
					row(w, "NAME", "OBJECTS", "SIZE", "FOLDER", "CHUNKS", "RECOVERY CODE")
					for _, v := range all {
						row(w, v.Name, v.Objects, bytesText(v.Size), yesNo(v.InFolder), yesNo(v.InChunks), orDash(v.RecoveryCode))
					}
				})
			})
		},
	}
}

// source adds the choice of a snapshot to a command.
func source(cmd *cobra.Command) func(args []string) (*metadatav1.SnapshotSource, error) {
	code := cmd.Flags().String("code", "", "recovery code of the snapshot, instead of its name")
	cmd.Args = cobra.MaximumNArgs(1)
	return func(args []string) (*metadatav1.SnapshotSource, error) {
		if (len(args) == 1) == (*code != "") {
			return nil, wrong("give either the name of a snapshot, as \"garage metadata snapshots\" lists them, or --code")
		}
		if *code != "" {
			return &metadatav1.SnapshotSource{Code: *code}, nil
		}
		return &metadatav1.SnapshotSource{Name: args[0]}, nil
	}
}

func snapshotVerify(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "verify [SNAPSHOT]", Short: "Read a whole snapshot and tell what is wrong with it"}
	from := source(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := from(args)
		if err != nil {
			return err
		}
		return c.connected(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
			stream, err := metadatav1.NewSnapshotServiceClient(conn).VerifySnapshot(ctx, &metadatav1.VerifySnapshotRequest{Source: s})
			if err != nil {
				return err
			}
			done, err := follow(cmd, "verifying", stream.Recv, nil)
			if err != nil {
				return err
			}
			v := newSnapshotJSON(done)
			return c.show(cmd, v, func(w io.Writer) {
				row(w, "state", "whole and undamaged")
				v.write(w)
			})
		})
	}
	return cmd
}

func snapshotRestore(c *connection) *cobra.Command {
	cmd := &cobra.Command{Use: "restore [SNAPSHOT]", Short: "Bring back what a snapshot has, into new metadata",
		Long: `Bring back what a snapshot has, into new metadata.

Set the old metadata aside first and start the server on new metadata of the same cluster (--cluster-id). Clients get their rights when all is
restored. Until then the server refuses them and takes no snapshots, also if the restore was interrupted: then begin it again with the same snapshot; it goes on
where it was. Multipart uploads that were under way when the snapshot was taken are not in it. Objects whose chunks are gone are left out and listed.`}
	from := source(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := from(args)
		if err != nil {
			return err
		}
		return c.connected(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
			stream, err := metadatav1.NewSnapshotServiceClient(conn).RestoreSnapshot(ctx, &metadatav1.RestoreSnapshotRequest{Source: s})
			if err != nil {
				return err
			}
			lost := []string{}
			done, err := follow(cmd, "restoring", stream.Recv, func(m *metadatav1.RestoreSnapshotResponse) bool {
				l := m.GetLost()
				if l != nil {
					name := l.GetBucket() + "/" + string(l.GetKey())
					_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "left out: %s: %s\n", printable(name), printable(l.GetProblem()))
					lost = append(lost, name)
				}
				return l != nil
			})
			if err != nil {
				return err
			}
			v := newSnapshotJSON(done)
			v.Lost = lost
			err = c.show(cmd, v, v.write)
			if err == nil && len(lost) > 0 {
				err = fmt.Errorf("%d objects were left out, since no chunk-node has all of their chunks any more", len(lost))
			}
			return err
		})
	}
	return cmd
}
