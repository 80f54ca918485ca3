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
		API: s.Local(), SignIn: signIn, Still: s.still(c.Operators), As: func(ctx context.Context, name, from string) context.Context { return WithActor(ctx, Actor{name, from}) },
		Admin: admin, S3: s3, Credentials: s.credentials, Audit: noted{s}, Clock: s.deps.Clock, Random: s.deps.Random, Logger: s.deps.Logger,
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
		return console.Operator{Name: identity.Person(name), Person: name}, nil
	}, nil
}

// still asks whether who has signed in still is a member of the group.
func (s *Service) still(group string) func(context.Context, console.Operator) error {
	return func(ctx context.Context, o console.Operator) error {
		return s.deps.Directory.CheckMember(ctx, o.Person, group)
	}
}

// credentials are those of a key, by its access key or its name. It is no call of the admin API, which would be noted.
func (s *Service) credentials(ctx context.Context, nameOrKey string) (accessKey, secret string, err error) {
	key, err := s.findKey(ctx, nameOrKey)
	return key.AccessKey, key.Secret, err
}

// gateway is where a gateway that Consul takes for healthy serves S3. Kinds: Unavailable, PreconditionFailed (without Consul).
func (s *Service) gateway(context.Context) (*url.URL, error) {
	if s.deps.Consul == nil {
		return nil, errors.E(errors.PreconditionFailed, errors.Setting, "console.s3-endpoint", "without Consul it is not known where S3 answers: set it to the URL of a gateway")
	}
	return gatewayOf(s.deps.Consul.Watch(consul.ServiceGateway).Instances())
}

func gatewayOf(all []consul.Instance) (*url.URL, error) {
	for _, i := range all {
		if !i.Healthy {
			continue
		}
		u := &url.URL{Scheme: "http", Host: i.Address}
		if i.TLS {
			u.Scheme = "https"
		}
		return u, nil
	}
	return nil, errors.Newf(errors.Unavailable, "Consul knows no s3-gateway that is healthy")
}

// noted keeps what operators do on the pages among the events.
type noted struct{ service *Service }

// Record implements console.Audit.
func (n noted) Record(ctx context.Context, e console.Entry) error {
	a := &adminv1.Audit{Actor: kept(e.Operator), From: kept(e.From), Method: kept(e.Action), Arguments: kept(e.Request), Error: kept(e.Problem)}
	m := &adminv1.Event{Time: timestamppb.New(e.At), Kind: adminv1.EventKind_EVENT_KIND_AUDIT, Severity: adminv1.Severity_SEVERITY_INFO, Subject: a.GetActor(),
		Text: a.GetActor() + ": " + a.GetMethod(), Audit: a}
	if e.Problem != "" {
		m.Severity = adminv1.Severity_SEVERITY_WARNING
		m.Text += " failed: " + m.Audit.Error
	}
	return n.service.events.NoteDurably(ctx, m)
}
