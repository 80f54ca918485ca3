//go:build stack

package heal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	"deuxfleurs.fr/garage/tools/deploy"
)

// change is a change of the layout: nodes that it takes in and gives up.
type change struct {
	in, out []*deploy.Process
}

// apply puts a change in force as an operator does.
func (r *run) apply(c change) {
	r.t.Helper()
	r.until("a change of the layout is in force", func() error {
		return r.Admin(r.t.Context(), func(ctx context.Context, admin adminv1.AdminServiceClient) error {
			for _, p := range c.in {
				if _, err := admin.AssignNode(ctx, &adminv1.AssignNodeRequest{Node: r.id(p)}); err != nil {
					return err
				}
			}
			for _, p := range c.out {
				if _, err := admin.RemoveNode(ctx, &adminv1.RemoveNodeRequest{Node: r.ids[p]}); err != nil {
					return err
				}
			}
			_, err := admin.ApplyLayout(ctx, &adminv1.ApplyLayoutRequest{Force: true})
			return err
		})
	})
}

// lost gives up a node.
func (r *run) lost(p *deploy.Process) {
	r.t.Helper()
	r.gone[r.ids[p]] = true
	r.until("a node is declared lost", func() error {
		return r.Admin(r.t.Context(), func(ctx context.Context, admin adminv1.AdminServiceClient) error {
			answer, err := admin.DeclareLost(ctx, &adminv1.DeclareLostRequest{Node: r.ids[p], Confirmed: true})
			if err == nil && !answer.GetDeclared() {
				err = errors.New("it was not declared")
			}
			return err
		})
	})
}

// add starts another node at a site.
func (r *run) add(site int, env ...string) *deploy.Process {
	r.t.Helper()
	p, err := r.AddNode(r.t.Context(), site, env...)
	require.NoError(r.t, err)
	r.ids[p] = r.id(p)
	return p
}

// chunksOf is how many chunks a node says it has; -1 if it is not known.
func (r *run) chunksOf(p *deploy.Process) int64 {
	r.t.Helper()
	status, err := r.Status(r.t.Context())
	require.NoError(r.t, err)
	for _, n := range status.GetNodes() {
		if n.GetId() == r.ids[p] {
			return n.GetChunks()
		}
	}
	return -1
}

func TestNodesAreAdded(t *testing.T) {
	r := begin(t)
	// One in each zone: one alone would make room for no more copies, and be given nothing.
	added := []*deploy.Process{r.add(0), r.add(1), r.add(2)}
	r.apply(change{in: added})
	r.goesOn(150)
	for _, p := range added {
		r.until("the new node has chunks", func() error {
			if n := r.chunksOf(p); n < 1 {
				return fmt.Errorf("%s has %d", p.Name, n)
			}
			return nil
		})
	}
	r.end(0)
}

func TestANodeIsDrained(t *testing.T) {
	r := begin(t)
	p := r.NodesAt(2)[0]
	r.apply(change{out: []*deploy.Process{p}})
	r.goesOn(150)
	r.until("the drained node is empty", func() error {
		if n := r.chunksOf(p); n > 0 {
			return fmt.Errorf("it has %d chunks", n)
		}
		return nil
	})
	r.end(0)
}

func TestANodeIsLostForGoodAndReplaced(t *testing.T) {
	r := begin(t)
	old := r.NodesAt(1)[1]
	forget(t, old)
	r.goesOn(100)
	p := r.add(1)
	r.apply(change{in: []*deploy.Process{p}, out: []*deploy.Process{old}})
	r.goesOn(50)
	r.lost(old)
	r.goesOn(50)
	r.end(10)
}

func TestTheLayoutChangesTwiceAtOnce(t *testing.T) {
	r := begin(t, slowly)
	first, second := r.add(0), r.add(2)
	r.apply(change{in: []*deploy.Process{first}, out: []*deploy.Process{r.NodesAt(0)[0]}})
	r.apply(change{in: []*deploy.Process{second}, out: []*deploy.Process{r.NodesAt(2)[1]}})
	require.Equal(t, 3, r.inForce(), "layouts in force")
	r.goesOn(150)
	r.end(0)
}

func TestTheLeaderIsKilledInTheMiddleOfARebalance(t *testing.T) {
	r := begin(t, slowly)
	p := r.add(2)
	r.apply(change{in: []*deploy.Process{p}, out: []*deploy.Process{r.NodesAt(2)[0]}})
	leader := r.leader()
	require.Equal(t, 2, r.inForce(), "layouts in force")
	// It is back before Consul has missed it.
	require.NoError(t, leader.Kill())
	require.NoError(t, leader.Start())
	require.NoError(t, r.Ready(t.Context(), leader))
	r.led()
	r.goesOn(50)
	// And now it stays away until the other has taken over.
	leader = r.leader()
	require.NoError(t, leader.Kill())
	r.led()
	r.goesOn(50)
	require.NoError(t, leader.Start())
	require.NoError(t, r.Ready(t.Context(), leader))
	r.end(0)
}

// led waits until a rebalancer is active, and all nodes have told it that they have the current layout.
func (r *run) led() {
	r.t.Helper()
	r.until("all nodes report to an active rebalancer", func() error {
		status, err := r.Status(r.t.Context())
		if err == nil {
			err = known(status)
		}
		if err != nil {
			return err
		}
		for _, n := range status.GetNodes() {
			if n.GetLayout() != status.GetLayout() {
				return fmt.Errorf("node %s in %s: layout %d of %d", n.GetId(), n.GetZone(), n.GetLayout(), status.GetLayout())
			}
		}
		return nil
	})
}

// inForce is how many layouts are in force.
func (r *run) inForce() int {
	r.t.Helper()
	status, err := r.Status(r.t.Context())
	require.NoError(r.t, err)
	return int(status.GetLayout() - status.GetOldestLayout() + 1)
}

// leader is the rebalancer that decides.
func (r *run) leader() *deploy.Process {
	r.t.Helper()
	status, err := r.Status(r.t.Context())
	require.NoError(r.t, err)
	at := slices.IndexFunc(r.Rebalancers, func(p *deploy.Process) bool {
		return slices.ContainsFunc(status.GetServices(), func(s *adminv1.Service) bool {
			return s.GetActive() && strings.HasPrefix(s.GetAddress(), r.Site(p).Address.String()+":")
		})
	})
	require.GreaterOrEqual(r.t, at, 0, "a rebalancer is active: %v", status.GetServices())
	return r.Rebalancers[at]
}
