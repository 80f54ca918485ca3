package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	gerrors "deuxfleurs.fr/garage/pkg/errors"
)

// Exit statuses of all commands but doctor. They are part of what scripts rely on: exitHelp says them.
const (
	exitFailed      = 1
	exitWrong       = 2
	exitNotFound    = 3
	exitRefused     = 4
	exitNotAllowed  = 5
	exitUnavailable = 6
)

const exitHelp = `0  it was done
1  it failed, or only a part of it was done
2  what was asked cannot be right: the command line, or a name in it
3  what was named does not exist
4  the state of things does not allow it; nothing was changed
5  the admin token is missing or wrong, or may not be read
6  the server, or a part that it needs, does not answer: try again`

// failureJSON is an error as it is written with --json, to the standard error.
type failureJSON struct {
	Error struct {
		Kind    string `json:"kind"`
		Message string `json:"message"`
		Exit    int    `json:"exit"`
	} `json:"error"`
}

// exitError ends the program with a status after all has been said.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// wrong is the error of a command line that cannot be right.
func wrong(format string, args ...any) error { return gerrors.Newf(gerrors.Invalid, format, args...) }

// exitStatus is what the program ends with.
func exitStatus(err error) int {
	var e exitError
	if errors.As(err, &e) {
		return int(e)
	}
	switch gerrors.KindOf(err) {
	case gerrors.Invalid:
		return exitWrong
	case gerrors.NotFound:
		return exitNotFound
	case gerrors.AlreadyExists, gerrors.NotEmpty, gerrors.PreconditionFailed, gerrors.Conflict:
		return exitRefused
	case gerrors.Unauthenticated, gerrors.PermissionDenied:
		return exitNotAllowed
	case gerrors.Unavailable, gerrors.Overloaded, gerrors.Deadline:
		return exitUnavailable
	}
	return exitFailed
}

// report says why the program fails, and returns what it ends with.
func report(w io.Writer, err error, asJSON bool) int {
	status := exitStatus(err)
	if errors.As(err, new(exitError)) {
		return status
	}
	if !asJSON {
		_, _ = fmt.Fprintln(w, "garage:", err) // there is nowhere else to say it
		return status
	}
	var v failureJSON
	v.Error.Kind, v.Error.Message, v.Error.Exit = strings.ReplaceAll(gerrors.KindOf(err).String(), " ", "_"), err.Error(), status
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v)
	return status
}

// asksForJSON looks for --json also in a command line that could not be read.
func asksForJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--json") || slices.Contains(args, "--json=true")
}

// execute runs a command line and returns what the program ends with.
func execute(root *cobra.Command, args []string) int {
	ran := false
	for _, cmd := range allCommands(root) {
		if run := cmd.RunE; run != nil {
			cmd.RunE = func(cmd *cobra.Command, args []string) error { ran = true; return run(cmd, args) }
		}
	}
	root.SetArgs(args)
	cmd, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	if !ran {
		// What fails before the command begins is the command line.
		err = wrong("%v; see: %s --help", err, cmd.CommandPath())
	}
	return report(root.ErrOrStderr(), err, asksForJSON(args))
}

// allCommands is a command and those below it.
func allCommands(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, c := range cmd.Commands() {
		all = append(all, allCommands(c)...)
	}
	return all
}
