package main

import (
	"io"

	"github.com/spf13/cobra"
)

// newRoot makes the whole command line. Results go to out, help for mistakes to errOut.
func newRoot(out, errOut io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "garage",
		Short: "An S3 object store for a handful of ordinary machines",
		Long: `Garage is an S3 object store for a handful of ordinary machines.

Start one with "garage standalone"; the other commands speak to a running server.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(out)
	root.SetErr(errOut)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newKey(), newBucket(), newLayout(), newStatus(), newRebalance(), newRepair(), newScrub(), newCollect(), newMetadata(), newMigrate(), newStandalone(), newNodes(), newVersion())
	return root
}

// showHelp is what a command does that only has others below it; a word that is none of them is an error.
func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }
