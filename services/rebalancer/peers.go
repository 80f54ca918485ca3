package rebalancer

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"deuxfleurs.fr/garage/pkg/adminserver"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/rpc"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

// HealthPeer is a service that is asked over gRPC whether it can serve.
func HealthPeer(name, address string, conn grpc.ClientConnInterface) Peer {
	client := healthv1.NewHealthClient(conn)
	return Peer{Name: name, Address: address, Check: func(ctx context.Context) error {
		answer, err := client.Check(ctx, &healthv1.HealthCheckRequest{})
		if err == nil && answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			err = errors.Newf(errors.Unavailable, "it says that it is %s", strings.ToLower(answer.GetStatus().String()))
		}
		return err
	}}
}

// DialPeers reaches the administration servers of services given as name=address, and returns what closes
// the connections. They are shown the operator's token, which gateways ask for before they tell what they count, unless that would go in clear
// over a network. Kinds: Invalid.
func DialPeers(list []string, token string) ([]Peer, func() error, error) {
	var peers []Peer
	var conns []*grpc.ClientConn
	closeAll := func() error {
		var errs []error
		for _, c := range conns {
			errs = append(errs, c.Close())
		}
		return errors.Join(errs...)
	}
	for _, text := range list {
		name, address, ok := strings.Cut(text, "=")
		if !ok || name == "" || address == "" {
			return nil, nil, errors.Join(errors.E(errors.Invalid, errors.Setting, "peers", "%q is not name=address", text), closeAll())
		}
		shown := token
		if plain, ok := strings.CutPrefix(address, "http://"); ok && !rpc.IsLoopback(strings.TrimSuffix(plain, "/")) {
			shown = ""
		}
		conn, err := adminserver.Dial(adminserver.DialConfig{Address: address, Token: shown})
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		conns = append(conns, conn)
		peer := HealthPeer(name, address, conn)
		if client := clusterv1.NewCountersServiceClient(conn); name == gatewayName {
			peer.Counters = func(ctx context.Context) (*clusterv1.GetCountersResponse, error) {
				return client.GetCounters(ctx, &clusterv1.GetCountersRequest{})
			}
		}
		peers = append(peers, peer)
	}
	return peers, closeAll, nil
}
