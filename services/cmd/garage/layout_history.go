package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// historyJSON is a layout of the history.
type historyJSON struct {
	Number  uint64   `json:"number"`
	State   string   `json:"state"` // current, in force or retired
	Waiting []string `json:"waiting,omitempty"`
}

func layoutHistory(c *connection) *cobra.Command {
	return watched(c, &cobra.Command{
		Use: "history", Short: "List the layouts that were put in force, and those that still are", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				answer, err := admin.GetLayout(ctx, &adminv1.GetLayoutRequest{})
				if err != nil {
					return err
				}
				all := newHistory(answer)
				return c.show(cmd, all, func(w io.Writer) {
					row(w, "NUMBER", "STATE", "WAITS FOR")
					for _, l := range all {
						row(w, l.Number, l.State, len(l.Waiting))
					}
				})
			})
		},
	})
}

func newHistory(answer *adminv1.GetLayoutResponse) []historyJSON {
	all := []historyJSON{}
	for _, number := range answer.GetHistory() {
		l := historyJSON{Number: number, State: "retired"}
		switch {
		case number == answer.GetCurrent().GetNumber():
			l.State = "current"
		case number >= answer.GetOldest() && number < answer.GetCurrent().GetNumber():
			l.State = "in force"
			for _, n := range answer.GetWaiting() {
				if n.GetLayout() <= number {
					l.Waiting = append(l.Waiting, n.GetNode())
				}
			}
		}
		all = append(all, l)
	}
	return all
}
