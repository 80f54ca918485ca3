package rpc

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

func TestKeysMoveOnlyFromWhoGoesAndToWhoComes(t *testing.T) {
	all := []string{"10.0.0.1:3902", "10.0.0.2:3902", "10.0.0.3:3902"}
	counts := map[string]int{}
	for i := range 3000 {
		key := fmt.Sprint("upload ", i)
		chosen := all[prefer(all, key)]
		counts[chosen]++
		for gone := range all {
			rest := slices.Delete(slices.Clone(all), gone, gone+1)
			if chosen != all[gone] {
				require.Equal(t, chosen, rest[prefer(rest, key)])
			}
		}
	}
	for _, a := range all {
		require.InDelta(t, 1000, counts[a], 150, "%v", counts)
	}
}

func TestCallsWithAKeyGoToOneInstanceAndOthersToAll(t *testing.T) {
	state := resolver.State{}
	for range 3 {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: listen(t, Identity{}).Addr().String()})
	}
	builder := manual.NewBuilderWithScheme("test")
	builder.InitialState(state)
	conn, err := Dial("test:///", nil, nil, grpc.WithResolvers(builder))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	call := func(ctx context.Context) string {
		var to peer.Peer
		_, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{}, grpc.Peer(&to))
		require.NoError(t, err)
		return to.Addr.String()
	}
	used := map[string]bool{}
	for len(used) < 3 { // until all are connected
		used[call(context.Background())] = true
	}
	keyed := map[string]bool{}
	for i := range 30 {
		ctx := WithAffinity(context.Background(), []byte{byte(i)})
		first := call(ctx)
		require.Equal(t, first, call(ctx))
		keyed[first] = true
		elsewhere := map[string]bool{}
		for range 3 {
			elsewhere[call(WithoutAffinity(ctx))] = true
		}
		require.Len(t, elsewhere, 3)
	}
	require.Len(t, keyed, 3)
}
