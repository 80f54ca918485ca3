package rebalancer

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"deuxfleurs.fr/garage/pkg/adminserver"
	"deuxfleurs.fr/garage/pkg/errors"
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
// the connections. Kinds: Invalid.
func DialPeers(list []string) ([]Peer, func() error, error) {
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
		conn, err := adminserver.Dial(adminserver.DialConfig{Address: address})
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		conns = append(conns, conn)
		peers = append(peers, HealthPeer(name, address, conn))
	}
	return peers, closeAll, nil
}
