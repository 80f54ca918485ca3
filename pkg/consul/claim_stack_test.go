//go:build stack

package consul

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/rpc"
)

// second is a process on a copy of a node's data folder, whose time a test decides.
func second(t *testing.T, of Service) (r *Registration, at *clock.Manual, ended <-chan error) {
	t.Helper()
	at = clock.NewManual(time.Now())
	c, err := New(DefaultConfig(), Deps{Clock: at, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	of.Address = server(t, rpc.Identity{}).Addr().String()
	of.Admin = of.Address
	r, err = c.NewRegistration(of)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- r.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, c.Close()) })
	return r, at, result
}

func node(t *testing.T) Service {
	t.Helper()
	s := service(unique(), server(t, rpc.Identity{}).Addr().String())
	s.KeepAlive = true
	return s
}

// addresses are where Consul says that a node is.
func addresses(t *testing.T, p *program, s Service) (all []string) {
	t.Helper()
	entries, _, err := p.API().Health().Service(s.Name, "", false, nil)
	require.NoError(t, err)
	for _, i := range p.instances(entries) {
		all = append(all, i.Address)
	}
	return all
}

func TestASecondProcessOfANodeIsRefused(t *testing.T) {
	connect(t)
	p, s := start(t, unique()), node(t)
	p.register(t, s)
	r, at, ended := second(t, s)
	deadline := time.After(patience)
	for {
		select {
		case err := <-ended:
			require.True(t, errors.IsEntity(err, errors.AlreadyExists, errors.Node), "%v", err)
			require.ErrorContains(t, err, s.Address)
			require.GreaterOrEqual(t, at.Now().Sub(r.claim.refused), claimTime)
			require.Equal(t, []string{s.Address}, addresses(t, p, s), "the first one stays")
			return
		case <-r.Ready():
			require.Fail(t, "it says that it is ready")
		case <-deadline:
			require.Fail(t, "it is not refused")
		case <-time.After(10 * time.Millisecond):
			at.Advance(time.Second)
		}
	}
}

func TestANodeThatMovesWaitsForItsOldProcess(t *testing.T) {
	connect(t)
	p, s := start(t, unique()), node(t)
	leave := p.register(t, s)
	r, at, _ := second(t, s)
	eventually(t, func() bool { return at.Timers() > 0 }, "it has asked once")
	require.Equal(t, []string{s.Address}, addresses(t, p, s))
	leave()
	eventually(t, func() bool {
		at.Advance(100 * time.Millisecond)
		select {
		case <-r.Ready():
			return true
		default:
			return false
		}
	}, "it takes its place")
	eventually(t, func() bool { return len(addresses(t, p, s)) == 1 && addresses(t, p, s)[0] == r.service.Address }, "it is registered")
}

// Two that have registered on different machines find each other: the one that came first never gives way.
func TestOfTwoThatRegisteredTheFirstStays(t *testing.T) {
	connect(t)
	p, s := start(t, unique()), node(t)
	elsewhere := func(status string) {
		_, err := p.API().Catalog().Register(&api.CatalogRegistration{
			Node: s.Name, Address: "192.0.2.1",
			Service: &api.AgentService{ID: s.ID(), Service: s.Name, Address: "192.0.2.1", Port: 3901, Meta: map[string]string{metaNode: s.NodeID.String(), metaCluster: p.cluster()}},
			Check:   &api.AgentCheck{Node: s.Name, CheckID: s.aliveCheck(), Name: "alive", ServiceID: s.ID(), Status: status},
		}, nil)
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		_, err := p.API().Catalog().Deregister(&api.CatalogDeregistration{Node: s.Name}, nil)
		require.NoError(t, err)
	})
	registration := func() *Registration {
		r, err := p.NewRegistration(s)
		require.NoError(t, err)
		require.NoError(t, r.refresh(t.Context(), false))
		r.claim.held = time.Now()
		eventually(t, func() bool { return len(addresses(t, p, s)) > 0 }, "it is registered")
		return r
	}
	first := registration()
	elsewhere(api.HealthPassing)
	require.NoError(t, first.contest(t.Context(), true))
	require.NoError(t, first.leave(t.Context()))

	elsewhere(api.HealthCritical)
	later := registration()
	require.NoError(t, later.contest(t.Context(), true), "the other one is not alive")
	elsewhere(api.HealthPassing)
	err := later.contest(t.Context(), true)
	require.True(t, errors.IsEntity(err, errors.AlreadyExists, errors.Node), "%v", err)
	require.ErrorContains(t, err, "192.0.2.1:3901")
	require.NoError(t, later.leave(t.Context()))
}
