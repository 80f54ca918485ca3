package main

import (
	"fmt"

	"github.com/spf13/cobra"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// The commands of what nodes do by themselves, and an operator may begin, stop or slow down.

func newScrub() *cobra.Command {
	task := only(chunknodev1.Task_TASK_SCRUB)
	c := &connection{}
	cmd := &cobra.Command{
		Use: "scrub", Short: "Read all that nodes hold, and find what has gone bad", Args: onlyCommands, RunE: showHelp,
		Long: `Read all that nodes hold, and find what has gone bad.

Nodes do so by themselves, all of it within the setting chunk.scrub-interval (30 days). A bad copy is set aside and fetched
from another node: garage repair report lists what no node has a good copy of.`,
	}
	c.addFlags(cmd)
	cmd.AddCommand((&taskCommand{task: task, start: true, use: "start [--rate SIZE|none]", short: "Begin a round now, or go on with one", takesRate: true}).make(c),
		(&taskCommand{task: task, use: "stop", short: "Stop, until it is started again"}).make(c), taskStatus(c, task, "Tell how far each node is"))
	return cmd
}

func newRebalance() *cobra.Command {
	task := only(chunknodev1.Task_TASK_REBALANCE)
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

// collecting chooses between the two ways of collecting.
type collecting struct {
	long    bool
	confirm int64
}

func (k *collecting) task() chunknodev1.Task {
	if k.long {
		return chunknodev1.Task_TASK_LONG_COLLECTION
	}
	return chunknodev1.Task_TASK_COLLECTION
}

// confirmed is up to how much the operator says yes.
func (k *collecting) confirmed() (int64, error) {
	if k.confirm != 0 && !k.long {
		return 0, wrong("--confirm is for --long")
	}
	return k.confirm, nil
}

func (k *collecting) addConfirm(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Int64Var(&k.confirm, "confirm", 0, "remove what is found, if the metadata does not know more references than these")
	return cmd
}

func newCollect() *cobra.Command {
	c, k := &connection{}, &collecting{}
	var nodes []string
	cmd := &cobra.Command{
		Use: "collect [--long [--confirm N]]", Short: "Remove chunks that nothing refers to", Args: onlyCommands,
		Long: `Remove chunks that nothing refers to.

Nodes do so by themselves, some minutes after the last reference was removed. With --long they ask the metadata
about every reference, as they do once a day, and remove those that belong to nothing and did not a day before;
their chunks stay in the trash for a week, and until the metadata was asked once more. A node that would remove
more than 1 % of its references so removes none, and asks: --confirm with the number that it tells says that the
metadata is whole and does not know so many.

Without a subcommand it does so now and shows how far it is until it has ended. Interrupting this command leaves
the collection running.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			confirmed, err := k.confirmed()
			if err != nil {
				return err
			}
			return collectAll(cmd, c, &adminv1.CommandNodesRequest{Nodes: nodes, Task: k.task(), Start: true, ConfirmUpTo: confirmed})
		},
	}
	c.addFlags(cmd)
	cmd.PersistentFlags().BoolVar(&k.long, "long", false, "ask the metadata about every reference")
	cmd.Flags().StringSliceVar(&nodes, "node", nil, nodeHelp)
	k.addConfirm(cmd)
	start := (&taskCommand{task: k.task, start: true, use: "start [--long [--confirm N]]", short: "Begin now, and do not wait for the end", confirmed: k.confirmed}).make(c)
	stop := (&taskCommand{task: k.task, use: "stop", short: "Stop, until it is started again"}).make(c)
	cmd.AddCommand(k.addConfirm(start), stop, taskStatus(c, k.task, "Tell how far each node is"))
	return cmd
}

func collectAll(cmd *cobra.Command, c *connection, r *adminv1.CommandNodesRequest) error {
	ended, err := c.toTheEnd(cmd, r)
	if err != nil {
		return err
	}
	for _, n := range ended {
		switch {
		case n.Problem != "":
			return fmt.Errorf("not every node collects: node %s: %s", n.Node, n.Problem)
		case n.taskJSON != nil && (n.State != "idle" || n.Problems > 0):
			return fmt.Errorf("not all is collected: node %s is %s, with %d problems: %s", n.Node, n.State, n.Problems, n.Note)
		}
	}
	return nil
}
