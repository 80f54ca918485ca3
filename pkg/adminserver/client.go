package adminserver

import (
	"context"
	"crypto/tls"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/rpc"
	"deuxfleurs.fr/garage/pkg/tlsfiles"
)

// DialConfig says which administration server to reach.
type DialConfig struct {
	// Address is host:port, which is plain text on loopback and TLS elsewhere, or begins with http://
	// or https:// to say which.
	Address string
	// Token is presented with each call; empty for what needs none, as health checks.
	Token string
	// CAFile holds the authorities (PEM) to trust instead of the system's; may be empty.
	CAFile string
}

// Dial makes a connection to an administration server. It refuses to send the token in clear beyond
// loopback.
func Dial(c DialConfig) (*grpc.ClientConn, error) {
	address, plain := strings.CutPrefix(c.Address, "http://")
	if !plain {
		var secure bool
		if address, secure = strings.CutPrefix(c.Address, "https://"); !secure {
			plain = rpc.IsLoopback(address) && c.CAFile == ""
		}
	}
	address = strings.TrimSuffix(address, "/")
	if plain && c.Token != "" && !rpc.IsLoopback(address) {
		return nil, errors.E(errors.Invalid, errors.Setting, "admin",
			"the token would cross the network in clear to %s: use https:// (the server needs admin.tls), or run the command on the server", address)
	}
	var creds credentials.TransportCredentials
	if !plain {
		config := &tls.Config{MinVersion: tls.VersionTLS12}
		var err error
		if config.RootCAs, err = tlsfiles.Authorities(c.CAFile); err != nil {
			return nil, errors.Wrap(errors.Invalid, err, "certificate authorities")
		}
		creds = credentials.NewTLS(config)
	}
	if c.Token == "" {
		return rpc.Dial(address, creds, nil)
	}
	return rpc.Dial(address, creds, nil, grpc.WithPerRPCCredentials(bearer{token: c.Token, secure: !plain}))
}

// bearer sends the token with each call.
type bearer struct {
	token  string
	secure bool
}

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

func (b bearer) RequireTransportSecurity() bool { return b.secure }
