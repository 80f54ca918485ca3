package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// newRoot makes the whole command line. Results go to out, help for mistakes to errOut.
func newRoot(out, errOut io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "garage",
		Short: "An S3 object store for a handful of ordinary machines",
		Long: `Garage is an S3 object store for a handful of ordinary machines.

Start one with "garage standalone"; the other commands speak to a running server, which they find with its admin token through
the data folder (--data, or GARAGE_DATA), or with --admin and the token in GARAGE_ADMIN_TOKEN.

Answers are for people or, with --json, for programs: then an error is one line of JSON too, on the standard error. Commands
that show a state take --watch. "garage completion --help" says how your shell completes commands and names, and "garage man"
writes manual pages, which also list the fields of each answer. The exit status (doctor has
its own) is

  ` + strings.ReplaceAll(exitHelp, "\n", "\n  "),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(out)
	root.SetErr(errOut)
	root.AddCommand(newKey(), newBucket(), newLayout(), newStatus(), newDoctor(), newEvents(), newExplain(), newRebalance(), newRepair(), newScrub(), newCollect(), newMetadata(), newMigrate(), newStandalone(), newNodes(), newVersion(), newMan())
	completes(root)
	return root
}

// showHelp is what a command does that only has others below it.
func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// onlyCommands refuses a word that is no command below cmd, and says which one may have been meant.
func onlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := wrong("unknown command %q for %q", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err = wrong("%v: did you mean %q?", err, strings.Join(near, `" or "`))
	}
	return err
}
