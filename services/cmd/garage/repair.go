package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

const repairTask = chunknodev1.Task_TASK_REPAIR

func newRepair() *cobra.Command {
	c := &connection{}
	cmd := &cobra.Command{
		Use: "repair", Short: "Compare what nodes hold, and fetch what is missing or bad", Args: cobra.NoArgs,
		Long: `Compare what nodes hold, and fetch what is missing or bad.

Without a subcommand it does so now, on all nodes, and shows how far it is until it has ended. Interrupting
this command leaves the repair running. Nodes also do it by themselves, at intervals and when one comes back.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return repairAll(cmd, c) },
	}
	c.addFlags(cmd)
	cmd.AddCommand((&taskCommand{task: only(repairTask), start: true, use: "start", short: "Begin now, and do not wait for the end"}).make(c),
		(&taskCommand{task: only(repairTask), use: "stop", short: "Stop, until it is started again"}).make(c),
		taskStatus(c, only(repairTask), "Tell how far each node is"), repairReport(c))
	return cmd
}

func repairAll(cmd *cobra.Command, c *connection) error {
	ended, err := c.toTheEnd(cmd, &adminv1.CommandNodesRequest{Task: repairTask, Start: true})
	if err != nil {
		return err
	}
	for _, n := range ended {
		switch {
		case n.Problem != "":
			return fmt.Errorf("not all is repaired: node %s: %s", n.Node, n.Problem)
		case n.taskJSON != nil && (n.State != "idle" || n.Problems > 0):
			return fmt.Errorf("not all is repaired: node %s is %s, with %d problems %s; look at: garage repair report", n.Node, n.State, n.Problems, n.Note)
		}
	}
	return nil
}

// damagedJSON is a chunk without a good copy as --json shows it.
type damagedJSON struct {
	Hash    string              `json:"hash"`
	Lost    bool                `json:"lost"` // no node has a good copy; otherwise one is still looked for
	Nodes   []string            `json:"nodes"`
	Since   string              `json:"since"`
	Problem string              `json:"problem"`
	Objects []damagedObjectJSON `json:"objects"`
}

type damagedObjectJSON struct {
	State   string `json:"state"` // complete, open, garbage or unknown
	Bucket  string `json:"bucket"`
	Key     string `json:"key"`
	Version string `json:"version,omitempty"`
	Upload  string `json:"upload,omitempty"`
	Attempt string `json:"attempt"`
	Offset  uint64 `json:"offset"`
}

// damageJSON is all that is damaged, and who could not be asked.
type damageJSON struct {
	Chunks   []damagedJSON `json:"chunks"`
	Problems []string      `json:"problems"`
}

func repairReport(c *connection) *cobra.Command {
	return watched(c, &cobra.Command{
		Use: "report", Short: "List chunks without a good copy, and the objects that they belong to", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				v, err := damage(ctx, admin)
				if err != nil {
					return err
				}
				return c.show(cmd, v, v.write)
			})
		},
	})
}

func damage(ctx context.Context, admin adminv1.AdminServiceClient) (*damageJSON, error) {
	v := &damageJSON{Chunks: []damagedJSON{}, Problems: []string{}}
	after := ""
	for {
		page, err := admin.ListDamaged(ctx, &adminv1.ListDamagedRequest{After: after})
		if err != nil {
			return nil, err
		}
		for _, d := range page.GetChunks() {
			one := damagedJSON{Hash: d.GetHash(), Lost: d.GetLost(), Nodes: d.GetNodes(), Since: timeText(d.GetSince()), Problem: d.GetProblem(), Objects: []damagedObjectJSON{}}
			for _, o := range d.GetObjects() {
				one.Objects = append(one.Objects, damagedObjectJSON{o.GetState(), o.GetBucket(), o.GetKey(), o.GetVersion(), o.GetUpload(), o.GetAttempt(), o.GetOffset()})
			}
			v.Chunks = append(v.Chunks, one)
			after = d.GetHash()
		}
		for _, p := range page.GetProblems() {
			if len(v.Problems) == 0 || v.Problems[len(v.Problems)-1] != p {
				v.Problems = append(v.Problems, p)
			}
		}
		if !page.GetMore() || len(page.GetChunks()) == 0 {
			return v, nil
		}
	}
}

func (v *damageJSON) write(w io.Writer) {
	if len(v.Chunks) == 0 {
		row(w, "no chunk is without a good copy")
	}
	for _, lost := range []bool{true, false} {
		said := false
		for _, d := range v.Chunks {
			if d.Lost != lost {
				continue
			}
			if !said {
				said = true
				title := "STILL LOOKED FOR"
				if lost {
					title = "LOST"
				}
				row(w, title, "SINCE", "STATE", "BUCKET", "KEY", "OFFSET", "VERSION OR ATTEMPT")
			}
			if len(d.Objects) == 0 {
				row(w, d.Hash, d.Since, d.Problem)
			}
			for _, o := range d.Objects {
				row(w, d.Hash, d.Since, o.State, orDash(o.Bucket), orDash(o.Key), o.Offset, firstOf(o.Version, o.Upload, o.Attempt))
			}
		}
	}
	for _, p := range v.Problems {
		row(w, "not asked: "+p)
	}
}
