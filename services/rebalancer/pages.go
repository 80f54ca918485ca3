package rebalancer

import (
	"context"
	"net/url"

	"google.golang.org/protobuf/types/known/timestamppb"

	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	"deuxfleurs.fr/garage/services/rebalancer/console"
)

// Console makes the operator's pages. Objects are browsed through the S3 server that s3 tells; nil: a gateway that Consul knows.
func (s *Service) Console(c console.Config, admin console.Admin, s3 func(context.Context) (*url.URL, error)) (*console.Console, error) {
	if s3 == nil {
		s3 = s.gateway
	}
	signIn, err := s.signIn(c.Operators)
	if err != nil {
		return nil, err
	}
	return console.New(c, console.Deps{
		API: s.Local(), SignIn: signIn, As: func(ctx context.Context, name, from string) context.Context { return WithActor(ctx, Actor{name, from}) },
		Admin: admin, S3: s3, Audit: noted{s}, Clock: s.deps.Clock, Random: s.deps.Random, Logger: s.deps.Logger,
	})
}

// signIn lets the members of an LDAP group in; nil: nobody is.
func (s *Service) signIn(group string) (func(ctx context.Context, user, password string) (console.Operator, error), error) {
	if group == "" {
		return nil, nil //nolint:nilnil // no function is the answer
	}
	if s.deps.Directory == nil {
		return nil, errors.E(errors.Invalid, errors.Setting, "console.operators", "a group of LDAP needs identity.ldap.url")
	}
	return func(ctx context.Context, user, password string) (console.Operator, error) {
		name, err := s.deps.Directory.SignIn(ctx, user, password, group)
		if err != nil {
			return console.Operator{}, err
		}
		return console.Operator{Name: identity.Person(name)}, nil
	}, nil
}

// gateway is where a gateway that Consul takes for healthy serves S3. Kinds: Unavailable, PreconditionFailed (without Consul).
func (s *Service) gateway(context.Context) (*url.URL, error) {
	if s.deps.Consul == nil {
		return nil, errors.E(errors.PreconditionFailed, errors.Setting, "console.s3-endpoint", "without Consul it is not known where S3 answers: set it to the URL of a gateway")
	}
	for _, i := range s.deps.Consul.Watch(consul.ServiceGateway).Instances() {
		if i.Healthy {
			return &url.URL{Scheme: "http", Host: i.Address}, nil
		}
	}
	return nil, errors.Newf(errors.Unavailable, "Consul knows no s3-gateway that is healthy")
}

// noted keeps what operators do on the pages among the events.
type noted struct{ service *Service }

// Record implements console.Audit.
func (n noted) Record(ctx context.Context, e console.Entry) error {
	m := &adminv1.Event{Time: timestamppb.New(e.At), Kind: adminv1.EventKind_EVENT_KIND_AUDIT, Severity: adminv1.Severity_SEVERITY_INFO, Subject: valid(e.Operator),
		Text:  valid(e.Operator) + ": " + e.Action,
		Audit: &adminv1.Audit{Actor: valid(e.Operator), From: e.From, Method: e.Action, Arguments: valid(e.Request), Error: valid(e.Problem)}}
	if e.Problem != "" {
		m.Severity = adminv1.Severity_SEVERITY_WARNING
		m.Text += " failed: " + m.Audit.Error
	}
	return n.service.events.NoteDurably(ctx, m)
}
