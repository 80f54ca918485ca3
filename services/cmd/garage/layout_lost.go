package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// lostJSON is what giving up a node costs, and whether it was done.
type lostJSON struct {
	ID         string `json:"id"`
	Declared   bool   `json:"declared"`
	Partitions uint32 `json:"partitions_without_another_node"`
	Alone      uint32 `json:"partitions_with_one_other_node"`
}

func layoutLost(c *connection) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "lost NODE [--yes]", Short: "Give up a node that will not come back", Args: cobra.ExactArgs(1),
		Long: `Give up a node that will not come back.

A layout stays in force until each of its nodes has handed over what a newer one gives to others. A node that is lost
for good never does: declared lost, nobody waits for it any longer. It stays in the current layout until it is removed.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := declareLost(cmd, c, args[0], false)
			if err != nil {
				return err
			}
			if !yes {
				if err := agree(cmd, v); err != nil {
					return err
				}
			}
			if v, err = declareLost(cmd, c, v.ID, true); err != nil {
				return err
			}
			return c.show(cmd, v, func(w io.Writer) { row(w, "nobody waits any longer for the node "+v.ID) })
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func declareLost(cmd *cobra.Command, c *connection, node string, confirmed bool) (*lostJSON, error) {
	var v *lostJSON
	err := c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
		answer, err := admin.DeclareLost(ctx, &adminv1.DeclareLostRequest{Node: node, Confirmed: confirmed})
		v = &lostJSON{answer.GetId(), answer.GetDeclared(), answer.GetPartitions(), answer.GetAlone()}
		return err
	})
	return v, err
}

// agree says what would be lost, and asks the operator.
func agree(cmd *cobra.Command, v *lostJSON) error {
	var text strings.Builder
	fmt.Fprintf(&text, "The node %s is away. Chunks that it has and has not handed over are gone if it never comes back.\n", printable(v.ID))
	switch {
	case v.Partitions > 0:
		fmt.Fprintf(&text, "OF %d OF ITS PARTITIONS NO OTHER NODE IS ALIVE: what is only there is lost.\n", v.Partitions)
	case v.Alone > 0:
		fmt.Fprintf(&text, "Of %d of its partitions one other node is alive, of the rest more: nothing is lost while that one stays.\n", v.Alone)
	default:
		text.WriteString("Each of its partitions has at least two other nodes that are alive.\n")
	}
	text.WriteString("Declare it lost? Type yes: ")
	return agreed(cmd, text.String())
}

// agreed asks the operator. Nothing is to be done if it fails.
func agreed(cmd *cobra.Command, question string) error {
	if _, err := io.WriteString(cmd.ErrOrStderr(), question); err != nil {
		return err
	}
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && err != io.EOF {
		return err
	}
	if strings.TrimSpace(line) == "yes" {
		return nil
	}
	return fmt.Errorf("nothing was changed: the answer was not yes; give --yes where nobody can be asked")
}
