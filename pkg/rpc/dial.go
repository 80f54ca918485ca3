package rpc

import (
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// connectParams make a node that came back known within a few seconds, without a storm of attempts.
var connectParams = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
	MinConnectTimeout: 3 * time.Second,
}

// Dial makes a connection to a service at host:port, or to a target that begins with a scheme (consul:///…) for which
// options have a resolver; with several addresses, calls go to one after the other, or by [WithAffinity]. It connects when first used and
// again whenever it was lost. creds are nil for plain text. metrics may be nil. options are added, such as a codec.
func Dial(address string, creds credentials.TransportCredentials, metrics *telemetry.GRPCMetrics, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	if creds == nil {
		creds = insecure.NewCredentials()
	}
	all := append(DialOptions(metrics), grpc.WithTransportCredentials(creds))
	target := address
	if strings.Contains(address, ":///") {
		all = append(all, grpc.WithDefaultServiceConfig(balanced))
	} else {
		// passthrough: the system's resolver is asked at each connection, and proxies of the environment are not used.
		target = "passthrough:///" + address
	}
	conn, err := grpc.NewClient(target, append(append(all, grpc.WithNoProxy()), options...)...)
	if err != nil {
		return nil, errors.Wrap(errors.Invalid, err, "address %s", address)
	}
	return conn, nil
}
