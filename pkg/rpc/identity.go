package rpc

import (
	"context"

	"google.golang.org/grpc/credentials"
)

// Identity is what a program presents to other services, and how it knows them. The zero value is plain text.
type Identity struct {
	// Server is what its gRPC server presents and demands.
	Server credentials.TransportCredentials
	// Client is the same for calls to the service of that name, as it is called in Consul.
	Client func(service string) credentials.TransportCredentials
	// Authorize refuses a call of a method by a service that is not meant to make it; nil: who has a
	// certificate may call everything.
	Authorize func(ctx context.Context, method string) error
}

// For is what calls to a service present and demand; nil is plain text.
func (i Identity) For(service string) credentials.TransportCredentials {
	if i.Client == nil {
		return nil
	}
	return i.Client(service)
}
