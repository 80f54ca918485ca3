package rebalancer

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"deuxfleurs.fr/garage/pkg/errors"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	"deuxfleurs.fr/garage/services/rebalancer/console"
)

const (
	// maxArguments is how many bytes of a request, and of each other text, the audit log keeps.
	maxArguments = 2 << 10
	// tokenActor is who has the operator's token.
	tokenActor = "operator token"
	// actorKey and fromKey say for whom another rebalancer asks.
	actorKey = "garage-actor"
	fromKey  = "garage-actor-from"
)

// Actor is who asks for a change, as the audit log names it.
type Actor struct {
	Name string // of a person who signed in, or what proves who asks
	From string // address
}

type actorOf struct{}

// WithActor makes a context in which what is asked for, through [Service.Local], is asked for by somebody who signed in here.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorOf{}, a)
}

// call is a call of the admin API on its way.
type call struct {
	actor  Actor
	sentTo string // the rebalancer that answers it, and notes it; empty: this one
}

type callOf struct{}

// registrar registers the admin API so that its calls are audited. trusted: the callers are rebalancers, who say for whom they ask.
type registrar struct {
	grpc.ServiceRegistrar
	service *Service
	trusted bool
}

// RegisterService implements grpc.ServiceRegistrar.
func (r registrar) RegisterService(desc *grpc.ServiceDesc, impl any) {
	r.ServiceRegistrar.RegisterService(r.service.audited(desc, r.trusted), impl)
}

// audited is a service whose methods go through audit, also behind interceptors of the server.
func (s *Service) audited(desc *grpc.ServiceDesc, trusted bool) *grpc.ServiceDesc {
	audited := *desc
	audited.Methods = nil
	audit := func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		return s.audit(ctx, trusted, request, info, handler)
	}
	for _, m := range desc.Methods {
		handle := m.Handler
		m.Handler = func(srv any, ctx context.Context, decode func(any) error, outer grpc.UnaryServerInterceptor) (any, error) {
			if outer == nil {
				return handle(srv, ctx, decode, audit)
			}
			return handle(srv, ctx, decode, func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
				return outer(ctx, request, info, func(ctx context.Context, request any) (any, error) { return audit(ctx, request, info, handler) })
			})
		}
		audited.Methods = append(audited.Methods, m)
	}
	return &audited
}

// audit answers a call and, if it changes anything, notes who asked for what, and what came of it, before the answer goes. What another
// rebalancer carries out is noted there.
func (s *Service) audit(ctx context.Context, trusted bool, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	c := &call{actor: actor(ctx, trusted)}
	ctx = context.WithValue(ctx, callOf{}, c)
	answer, err := handler(ctx, request)
	message, ok := request.(proto.Message)
	method := info.FullMethod[strings.LastIndexByte(info.FullMethod, '/')+1:]
	if !ok || !changing(method, message) || c.sentTo != "" && !unreached(err) {
		return answer, err
	}
	c.actor = Actor{Name: kept(c.actor.Name), From: kept(c.actor.From)}
	e := &adminv1.Event{Kind: adminv1.EventKind_EVENT_KIND_AUDIT, Severity: adminv1.Severity_SEVERITY_INFO, Subject: c.actor.Name,
		Audit: &adminv1.Audit{Actor: c.actor.Name, From: c.actor.From, Method: method, Arguments: arguments(message)}}
	e.Text = c.actor.Name + ": " + method
	if err != nil {
		e.Severity, e.Audit.Error = adminv1.Severity_SEVERITY_WARNING, kept(err.Error())
		e.Text += " failed: " + e.Audit.Error
	}
	if c.sentTo != "" {
		e.Details = map[string]string{"sent_to": c.sentTo}
	}
	if made, ok := answer.(*adminv1.CreateKeyResponse); ok && err == nil {
		e.Details = map[string]string{"access_key": made.GetKey().GetAccessKey()}
	}
	// The change has taken place: that the log could not be written is said, and does not make it undone. Nor does a caller who went away.
	if failed := s.events.NoteDurably(context.WithoutCancel(ctx), e); failed != nil {
		s.deps.Logger.ErrorContext(ctx, "the audit log does not have a change", "actor", c.actor.Name, "from", c.actor.From, "method", method, "error", failed)
	}
	return answer, err
}

// actor is who asks.
func actor(ctx context.Context, trusted bool) Actor {
	if a, signed := ctx.Value(actorOf{}).(Actor); signed {
		return a
	}
	a := Actor{Name: tokenActor}
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		a.From = p.Addr.String()
	}
	if names := metadata.ValueFromIncomingContext(ctx, actorKey); trusted && len(names) == 1 {
		a = Actor{Name: names[0]}
		if from := metadata.ValueFromIncomingContext(ctx, fromKey); len(from) == 1 {
			a.From = from[0]
		}
	}
	return a
}

// forwarded is the context of a call that is sent on to another rebalancer, which notes it for who asked here.
func (s *Service) forwarded(ctx context.Context) context.Context {
	out := metadata.AppendToOutgoingContext(ctx, forwardedKey, s.cluster.self.NodeID.String())
	tokens := metadata.ValueFromIncomingContext(ctx, tokenKey)
	if len(tokens) == 0 && s.deps.Token != "" {
		tokens = []string{"Bearer " + s.deps.Token}
	}
	for _, token := range tokens {
		out = metadata.AppendToOutgoingContext(out, tokenKey, token)
	}
	if c, ok := ctx.Value(callOf{}).(*call); ok {
		out = metadata.AppendToOutgoingContext(out, actorKey, printable(c.actor.Name), fromKey, printable(c.actor.From))
	}
	return out
}

// printable is a name as a header can carry it.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, name)
}

// changing reports whether a call changes anything, or lays a secret open, which some methods do only when they are asked to.
func changing(method string, request proto.Message) bool {
	switch r := request.(type) {
	case *adminv1.GetKeyRequest:
		return r.GetShowSecret()
	case *adminv1.DeclareLostRequest:
		return r.GetConfirmed()
	}
	return console.Changes(method)
}

// arguments is a request in JSON without its secrets, which the protocol marks as debug_redact.
func arguments(request proto.Message) string {
	shown := proto.Clone(request)
	redact(shown.ProtoReflect())
	text, err := protojson.Marshal(shown)
	if err != nil {
		return "" // bytes that are no text
	}
	return kept(string(text))
}

// kept is a text as far as the audit log keeps it.
func kept(text string) string {
	if len(text) > maxArguments {
		return valid(text[:maxArguments]) + "…"
	}
	return valid(text)
}

func redact(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		options, _ := f.Options().(*descriptorpb.FieldOptions)
		switch {
		case options.GetDebugRedact():
			m.Clear(f)
		case f.Message() == nil || f.IsMap():
		case f.IsList():
			for i := range v.List().Len() {
				redact(v.List().Get(i).Message())
			}
		default:
			redact(v.Message())
		}
		return true
	})
}

func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// Local is the admin API for who is in the same process, such as the console: its calls are audited as those over the network are. Who asks is
// said by [WithActor]; without, it is refused. The messages given to Invoke are not shared with the service. Errors have the kinds of pkg/errors.
func (s *Service) Local() grpc.ClientConnInterface {
	return local{s.audited(&adminv1.AdminService_ServiceDesc, false), s}
}

type local struct {
	desc    *grpc.ServiceDesc
	service *Service
}

// Invoke implements grpc.ClientConnInterface.
func (l local) Invoke(ctx context.Context, method string, request, answer any, _ ...grpc.CallOption) error {
	if a, ok := ctx.Value(actorOf{}).(Actor); !ok || a.Name == "" {
		return errors.Newf(errors.Unauthenticated, "%s: it is not said who asks", method)
	}
	name, ours := strings.CutPrefix(method, "/"+l.desc.ServiceName+"/")
	for _, m := range l.desc.Methods {
		if !ours || m.MethodName != name {
			continue
		}
		got, err := m.Handler(l.service, ctx, func(into any) error {
			proto.Merge(into.(proto.Message), request.(proto.Message))
			return nil
		}, nil)
		if err != nil {
			return err
		}
		proto.Reset(answer.(proto.Message))
		proto.Merge(answer.(proto.Message), got.(proto.Message))
		return nil
	}
	return errors.Newf(errors.NotImplemented, "there is no method %s", method)
}

// NewStream implements grpc.ClientConnInterface: the admin API has no streams.
func (local) NewStream(_ context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.Newf(errors.NotImplemented, "%s: the admin API has no streams", method)
}
