package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

func layoutRevert(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "revert LAYOUT", Short: "Stage what makes the layout an earlier one again", Args: cobra.ExactArgs(1),
		Long: `Stage what makes the layout an earlier one again: its nodes, their capacities, and the number of copies.

LAYOUT is a number of garage layout history. What was staged before is dropped. The layout that comes of it has a new number.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil || number == 0 {
				return wrong("%q is no number of a layout: garage layout history lists them", args[0])
			}
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				answer, err := admin.StageLayout(ctx, &adminv1.StageLayoutRequest{Number: number})
				if err != nil {
					return err
				}
				v := newStagedJSON(answer.GetStaged())
				return c.show(cmd, v, func(w io.Writer) {
					if v.empty() {
						row(w, fmt.Sprintf("the layout in force is as layout %d was: nothing is staged", number))
						return
					}
					writeStaged(w, answer.GetStaged(), v)
				})
			})
		},
	}
}
