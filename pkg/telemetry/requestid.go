package telemetry

import (
	"context"
	"encoding/hex"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// requestIDKey is the gRPC metadata key of the request ID.
const requestIDKey = "garage-request-id"

const maxRequestID = 64

type requestIDContext struct{}

// NewRequestID draws an ID of 16 upper-case hexadecimal digits, as S3 clients are used to.
func NewRequestID(random io.Reader) (string, error) {
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", err
	}
	return strings.ToUpper(hex.EncodeToString(b[:])), nil
}

// WithRequestID gives the context a request ID.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDContext{}, id)
}

// RequestID is the context's request ID, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDContext{}).(string)
	return id
}

// outgoing puts the request ID into the metadata of a call.
func outgoing(ctx context.Context) context.Context {
	if id := RequestID(ctx); id != "" {
		return metadata.AppendToOutgoingContext(ctx, requestIDKey, id)
	}
	return ctx
}

// incoming takes the request ID from the metadata of a call. What cannot be an ID is dropped, so that
// a caller cannot write what it likes into the logs.
func incoming(ctx context.Context) context.Context {
	values := metadata.ValueFromIncomingContext(ctx, requestIDKey)
	if len(values) != 1 || values[0] == "" || len(values[0]) > maxRequestID {
		return ctx
	}
	for _, c := range []byte(values[0]) {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-') {
			return ctx
		}
	}
	return WithRequestID(ctx, values[0])
}

// UnaryServerRequestID gives the handler's context the caller's request ID.
func UnaryServerRequestID(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return handler(incoming(ctx), req)
}

// StreamServerRequestID gives the handler's context the caller's request ID.
func StreamServerRequestID(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx := incoming(stream.Context())
	if ctx == stream.Context() {
		return handler(srv, stream)
	}
	return handler(srv, &contextStream{ServerStream: stream, ctx: ctx})
}

type contextStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *contextStream) Context() context.Context { return s.ctx }

// UnaryClientRequestID sends the context's request ID with the call.
func UnaryClientRequestID(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoker(outgoing(ctx), method, req, reply, cc, opts...)
}

// StreamClientRequestID sends the context's request ID with the call.
func StreamClientRequestID(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return streamer(outgoing(ctx), desc, cc, method, opts...)
}
