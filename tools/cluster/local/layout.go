package local

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// CLI runs Garage's command line against the cluster and returns its output.
func (c *Cluster) CLI(ctx context.Context, bin string, args ...string) ([]byte, error) {
	token, err := c.Token()
	if err != nil {
		return nil, err
	}
	var said strings.Builder
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "garage"), args...)
	cmd.Env = append(os.Environ(), "GARAGE_ADMIN="+c.Admin(), "GARAGE_ADMIN_TOKEN="+token)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("garage %s: %w\n%s%s", strings.Join(args, " "), err, out, said.String())
	}
	return out, nil
}

// firstLayout gives every chunk-node its share of the data, unless a layout says already who has what.
func (c *Cluster) firstLayout(ctx context.Context, bin string) error {
	done := false
	err := poll(ctx, time.Minute, "the rebalancer, which makes the first layout", func(ctx context.Context) error {
		var layout struct {
			Current *struct{ Number uint64 }
			Nodes   []struct{ State string }
		}
		out, err := c.CLI(ctx, bin, "layout", "show", "--json")
		if err != nil {
			return err
		}
		if err := json.Unmarshal(out, &layout); err != nil {
			return err
		}
		done = layout.Current != nil
		alive := 0
		for _, n := range layout.Nodes {
			if n.State == "new" {
				alive++
			}
		}
		if !done && alive < c.o.Nodes {
			return fmt.Errorf("%d of %d chunk-nodes are alive", alive, c.o.Nodes)
		}
		return nil
	})
	if err != nil || done {
		return err
	}
	for _, args := range [][]string{{"assign", "--all"}, {"replication", strconv.Itoa(c.Replication())}, {"apply"}} {
		if _, err := c.CLI(ctx, bin, append([]string{"layout"}, args...)...); err != nil {
			return err
		}
	}
	c.say("the first layout is in force")
	return nil
}
