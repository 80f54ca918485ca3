package main

import (
	"github.com/spf13/cobra"

	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// The commands of what nodes do by themselves, and an operator may begin, stop or slow down.

func newScrub() *cobra.Command {
	const task = chunknodev1.Task_TASK_SCRUB
	c := &connection{}
	cmd := &cobra.Command{Use: "scrub", Short: "Read all that nodes hold, and find what has gone bad", Args: onlyCommands, RunE: showHelp}
	c.addFlags(cmd)
	cmd.AddCommand((&taskCommand{task: task, start: true, use: "start [--rate SIZE|none]", short: "Begin a round now, or go on with one", takesRate: true}).make(c),
		(&taskCommand{task: task, use: "stop", short: "Stop, until it is started again"}).make(c), taskStatus(c, task, "Tell how far each node is"))
	return cmd
}

func newRebalance() *cobra.Command {
	const task = chunknodev1.Task_TASK_REBALANCE
	c := &connection{}
	cmd := &cobra.Command{
		Use: "rebalance", Short: "Hand over what the layout gives to other nodes", Args: onlyCommands, RunE: showHelp,
		Long: `Hand over what the layout gives to other nodes.

Nodes begin by themselves when a layout is put in force; it can be stopped, started again, and given another
rate. The layout of before stays in force until all is handed over: garage status says what is missing.`,
	}
	c.addFlags(cmd)
	cmd.AddCommand((&taskCommand{task: task, start: true, use: "start [--rate SIZE|none]", short: "Go on, or do so at another rate", takesRate: true}).make(c),
		(&taskCommand{task: task, use: "stop", short: "Stop, until it is started again"}).make(c), taskStatus(c, task, "Tell how far each node is"))
	return cmd
}

func newCollect() *cobra.Command {
	c := &connection{}
	cmd := (&taskCommand{task: chunknodev1.Task_TASK_COLLECTION, start: true, use: "collect", short: "Remove chunks that nothing refers to"}).make(c)
	cmd.Long = `Remove chunks that nothing refers to.

Nodes do so by themselves, some minutes after the last reference was removed.`
	c.addFlags(cmd)
	return cmd
}
