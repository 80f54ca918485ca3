package rebalancer

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity/keys"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/meta/memory"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

func service(t *testing.T, c Config) *Service {
	t.Helper()
	store, err := memory.New(clock.System{}, clock.SystemRandom)
	require.NoError(t, err)
	s, err := New(c, Deps{Store: store, Folder: t.TempDir(), Identities: keys.New(store, clock.System{}, 0), Layouts: oneLayout(t), Node: unreachable, Clock: clock.System{}, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return s
}

// oneLayout is a layout of one node in force.
func oneLayout(t *testing.T) *layout.Active {
	t.Helper()
	return inForce(t, []layout.Node{*desiredNode})
}

// inForce is layouts with growing numbers from 1 and one copy.
func inForce(t *testing.T, layouts ...[]layout.Node) *layout.Active {
	t.Helper()
	var all []layout.Placement
	var owners *layout.Assignment
	for i, nodes := range layouts {
		l, err := layout.New(uint64(i+1), 1, nodes)
		require.NoError(t, err)
		owners, err = layout.Assign(owners, l)
		require.NoError(t, err)
		all = append(all, layout.Placement{Layout: l, Assignment: owners})
	}
	a, err := layout.NewActive(all...)
	require.NoError(t, err)
	return a
}

func unreachable(id chunk.NodeID) (Node, error) {
	return nil, errors.E(errors.NotFound, errors.Node, id.String(), "it is not there")
}

func TestDeletingAKeyAnswersWhenNoGatewayKnowsItAnyMore(t *testing.T) {
	s := service(t, Config{Settle: time.Hour})
	made, err := s.CreateKey(context.Background(), &adminv1.CreateKeyRequest{Name: "laptop"})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() {
		_, err := s.DeleteKey(ctx, &adminv1.DeleteKeyRequest{Key: "laptop"})
		result <- err
	}()
	require.Eventually(t, func() bool {
		_, err := s.deps.Store.Key(context.Background(), made.GetKey().GetAccessKey())
		return errors.Is(err, errors.NotFound)
	}, time.Minute, time.Millisecond)
	select {
	case err := <-result:
		t.Fatal("it answered while gateways may know the key: ", err)
	default:
	}
	cancel()
	require.ErrorContains(t, <-result, "gateways may know it")
}

func TestPagesOfKeysAndBucketsAreBounded(t *testing.T) {
	s := service(t, Config{})
	for _, name := range []string{"one", "two", "three"} {
		_, err := s.CreateKey(context.Background(), &adminv1.CreateKeyRequest{Name: name})
		require.NoError(t, err)
		_, err = s.CreateBucket(context.Background(), &adminv1.CreateBucketRequest{Name: name})
		require.NoError(t, err)
	}
	keys, err := s.ListKeys(context.Background(), &adminv1.ListKeysRequest{Limit: 2})
	require.NoError(t, err)
	require.Len(t, keys.GetKeys(), 2)
	require.True(t, keys.GetMore())
	rest, err := s.ListKeys(context.Background(), &adminv1.ListKeysRequest{After: keys.GetKeys()[1].GetAccessKey()})
	require.NoError(t, err)
	require.Len(t, rest.GetKeys(), 1)
	require.False(t, rest.GetMore())
	buckets, err := s.ListBuckets(context.Background(), &adminv1.ListBucketsRequest{After: "one"})
	require.NoError(t, err)
	require.Len(t, buckets.GetBuckets(), 2)
	require.Equal(t, "three", buckets.GetBuckets()[0].GetName())
}

func TestANodeThatDoesNotAnswerDelaysTheStatusNoLongerThanItsTime(t *testing.T) {
	s := service(t, Config{StatusTimeout: time.Millisecond})
	s.deps.Peers = []Peer{{Name: "s3-gateway", Check: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}}
	status, err := s.GetStatus(context.Background(), &adminv1.GetStatusRequest{})
	require.NoError(t, err)
	require.False(t, status.GetServices()[0].GetHealthy())
	require.Contains(t, status.GetServices()[0].GetProblem(), "deadline")
}
