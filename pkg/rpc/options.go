package rpc

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

const (
	// DefaultDeadline is given to unary calls whose context has none.
	DefaultDeadline = 30 * time.Second
	// MaxMessage bounds one message, in bytes. Chunks are streams of frames of at most 256 KiB; a page
	// of a listing with its user metadata is the largest single answer.
	MaxMessage = 16 << 20

	// A link of 1 Gbit/s with a 50 ms round trip holds 6.25 MB; a stream window takes a whole chunk
	// of the usual size. Fixed windows also spare the pings that gRPC would size them with.
	connWindow   = 8 << 20
	streamWindow = 2 << 20

	bufferSize = 64 << 10

	// A machine that went without a word is noticed when what was sent to it is not acknowledged for
	// keepaliveTimeout (TCP's user timeout, which gRPC sets to it) and, while calls only wait, after both. Shorter
	// would cut links that are merely slow in the evening; gRPC allows no less than 10 s of the first.
	keepaliveAfter   = 10 * time.Second
	keepaliveTimeout = 5 * time.Second
	maxStreams       = 1 << 10 // calls that one connection may have open
)

// ServerOptions are the options of every gRPC server of Garage. metrics may be nil.
func ServerOptions(logger *slog.Logger, metrics *telemetry.GRPCMetrics) []grpc.ServerOption {
	return serverOptions(logger, metrics, nil)
}

// serverOptions are ServerOptions where authorize, unless it is nil, refuses calls.
func serverOptions(logger *slog.Logger, metrics *telemetry.GRPCMetrics, authorize func(context.Context, string) error) []grpc.ServerOption {
	unary := []grpc.UnaryServerInterceptor{telemetry.UnaryServerRequestID}
	stream := []grpc.StreamServerInterceptor{telemetry.StreamServerRequestID}
	if metrics != nil {
		unary = append(unary, metrics.UnaryServer)
		stream = append(stream, metrics.StreamServer)
	}
	guard := guard{logger, authorize}
	unary = append(unary, guard.unary)
	stream = append(stream, guard.stream)
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(unary...),
		grpc.ChainStreamInterceptor(stream...),
		grpc.InitialConnWindowSize(connWindow),
		grpc.InitialWindowSize(streamWindow),
		grpc.ReadBufferSize(bufferSize),
		grpc.WriteBufferSize(bufferSize),
		grpc.MaxRecvMsgSize(MaxMessage),
		grpc.MaxSendMsgSize(MaxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(keepaliveAfter),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveAfter, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveAfter / 2, PermitWithoutStream: true}),
	}
}

// guard turns the errors of handlers into statuses, logs those that an operator should know, and survives
// their panics: a request that hits a mistake in the program must not take the others with it.
// It also refuses who may not call.
type guard struct {
	log       *slog.Logger
	authorize func(ctx context.Context, method string) error // nil: all may
}

func (g guard) allowed(ctx context.Context, method string) error {
	if g.authorize == nil {
		return nil
	}
	return g.authorize(ctx, method)
}

// status is the error for the wire. What callers do wrong is theirs to log.
func (g guard) status(ctx context.Context, method string, err error) error {
	switch errors.KindOf(err) {
	case errors.Internal, errors.Corrupted:
		if err != nil {
			g.log.ErrorContext(ctx, "a call failed", "method", method, "error", err)
		}
	case errors.Full, errors.Unavailable:
		g.log.WarnContext(ctx, "a call failed", "method", method, "error", err)
	}
	return errors.ToStatus(err)
}

func (g guard) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	defer g.recover(ctx, info.FullMethod, &err)
	if err := g.allowed(ctx, info.FullMethod); err != nil {
		return nil, g.status(ctx, info.FullMethod, err)
	}
	resp, err = handler(ctx, req)
	return resp, g.status(ctx, info.FullMethod, err)
}

func (g guard) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer g.recover(stream.Context(), info.FullMethod, &err)
	if err := g.allowed(stream.Context(), info.FullMethod); err != nil {
		return g.status(stream.Context(), info.FullMethod, err)
	}
	return g.status(stream.Context(), info.FullMethod, handler(srv, stream))
}

func (g guard) recover(ctx context.Context, method string, err *error) {
	if p := recover(); p != nil {
		g.log.ErrorContext(ctx, "a request made the program panic", "method", method, "panic", p, "stack", string(debug.Stack()))
		*err = errors.ToStatus(errors.Newf(errors.Internal, "%s: internal error; the log has the details", method))
	}
}

// DialOptions are the options of every gRPC connection between Garage's services, without credentials.
// metrics may be nil.
func DialOptions(metrics *telemetry.GRPCMetrics) []grpc.DialOption {
	unary := []grpc.UnaryClientInterceptor{unaryErrors, unaryDeadline, telemetry.UnaryClientRequestID}
	stream := []grpc.StreamClientInterceptor{streamErrors, telemetry.StreamClientRequestID}
	if metrics != nil {
		unary = append(unary, metrics.UnaryClient)
		stream = append(stream, metrics.StreamClient)
	}
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(unary...),
		grpc.WithChainStreamInterceptor(stream...),
		grpc.WithInitialConnWindowSize(connWindow),
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithReadBufferSize(bufferSize),
		grpc.WithWriteBufferSize(bufferSize),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveAfter, Timeout: keepaliveTimeout}),
		grpc.WithConnectParams(connectParams),
		grpc.WithDisableServiceConfig(),
	}
}

func unaryDeadline(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultDeadline)
		defer cancel()
	}
	return invoker(ctx, method, req, reply, cc, opts...)
}

// unaryErrors gives a call's error its kind back.
func unaryErrors(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return errors.FromStatus(invoker(ctx, method, req, reply, cc, opts...))
}

// streamErrors gives the errors of a stream their kind back.
func streamErrors(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := streamer(ctx, desc, cc, method, opts...)
	if err != nil {
		return nil, errors.FromStatus(err)
	}
	return kindStream{stream}, nil
}

type kindStream struct{ grpc.ClientStream }

func (s kindStream) RecvMsg(m any) error { return errors.FromStatus(s.ClientStream.RecvMsg(m)) }
func (s kindStream) SendMsg(m any) error { return errors.FromStatus(s.ClientStream.SendMsg(m)) }
