package consul

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"sync"

	"github.com/hashicorp/consul/api"

	"deuxfleurs.fr/garage/pkg/datafolder"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/rpc"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// CertificateFile is where a data folder keeps the last certificate, for a Consul that is away at the next start.
const CertificateFile = "consul-certificate.json"

// Certificates are those that Consul's CA issues to a service, followed until the client is closed. They are an
// rpc.Issuer.
type Certificates struct {
	client  *Client
	service string
	path    string

	saving sync.Mutex
	mu     sync.Mutex
	leaf   *tls.Certificate
	trust  rpc.Trust
	kept   kept
}

// kept is what is on disk.
type kept struct {
	Service     string   `json:"service"`
	Certificate string   `json:"certificate"` // PEM, with its intermediates
	Key         string   `json:"key"`         // PEM
	Roots       []string `json:"roots"`       // PEM
	Domain      string   `json:"trust_domain"`
}

// Certificates gets the certificate of a service and whom to trust. If Consul is away, those kept in the file at path
// serve while they are valid; without them it waits until ctx ends. Kinds: PermissionDenied, Invalid, Unavailable.
func (c *Client) Certificates(ctx context.Context, service, path string) (*Certificates, error) {
	s := &Certificates{client: c, service: service, path: path}
	err := s.fetch(ctx)
	if away(err) {
		if old := s.load(); old == nil {
			c.log.Warn("Consul does not answer: the certificate kept from before serves until it does", "expires", s.leaf.Leaf.NotAfter)
			err = nil
		} else {
			c.log.Info("no certificate kept from before can be used", "reason", old)
			err = c.persist(ctx, "the certificate of "+service, s.fetch)
		}
	}
	if err != nil {
		return nil, failed(err, "the certificate of "+service)
	}
	telemetry.RegisterCertificate(c.registry, "consul", func() *tls.Certificate { return s.Certificate() })
	c.work.Go(func() { s.followLeaf() })
	c.work.Go(func() { s.followRoots() })
	c.work.Go(func() { s.checkPolicy() })
	return s, nil
}

// Certificate implements rpc.Issuer.
func (s *Certificates) Certificate() *tls.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaf
}

// Trust implements rpc.Issuer.
func (s *Certificates) Trust() rpc.Trust {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trust
}

// fetch asks once for everything.
func (s *Certificates) fetch(ctx context.Context) error {
	return s.client.ask(ctx, func(o *api.QueryOptions) error {
		roots, _, err := s.client.api.Agent().ConnectCARoots(o)
		if err != nil {
			return err
		}
		leaf, _, err := s.client.api.Agent().ConnectCALeaf(s.service, o)
		if err != nil {
			return err
		}
		if err := s.setRoots(roots); err != nil {
			return err
		}
		return s.setLeaf(leaf)
	})
}

func (s *Certificates) followLeaf() {
	// It ends with the client, which needs no error.
	_ = s.client.Follow(s.client.ctx, "the certificate of "+s.service, func(o *api.QueryOptions) (*api.QueryMeta, error) {
		leaf, meta, err := s.client.api.Agent().ConnectCALeaf(s.service, o)
		if err == nil {
			err = s.setLeaf(leaf)
		}
		return meta, err
	})
}

func (s *Certificates) followRoots() {
	_ = s.client.Follow(s.client.ctx, "the authorities of services", func(o *api.QueryOptions) (*api.QueryMeta, error) {
		roots, meta, err := s.client.api.Agent().ConnectCARoots(o)
		if err == nil {
			err = s.setRoots(roots)
		}
		return meta, err
	})
}

func (s *Certificates) setLeaf(l *api.LeafCert) error {
	pair, err := tls.X509KeyPair([]byte(l.CertPEM), []byte(l.PrivateKeyPEM))
	if err != nil {
		return errors.Wrap(errors.Internal, err, "the certificate that Consul issued to %s", s.service)
	}
	s.mu.Lock()
	renewed := s.leaf != nil && s.kept.Certificate != l.CertPEM
	s.leaf = &pair
	s.kept.Service, s.kept.Certificate, s.kept.Key = s.service, l.CertPEM, l.PrivateKeyPEM
	s.mu.Unlock()
	if renewed {
		s.client.log.Info("the certificate between services was renewed", "of", s.service, "expires", pair.Leaf.NotAfter)
	}
	s.save()
	return nil
}

func (s *Certificates) setRoots(list *api.CARootList) error {
	var pem []string
	for _, r := range list.Roots {
		pem = append(pem, r.RootCertPEM)
	}
	pool, err := pool(pem)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.trust = rpc.Trust{Roots: pool, Domain: list.TrustDomain}
	s.kept.Roots, s.kept.Domain = pem, list.TrustDomain
	s.mu.Unlock()
	s.save()
	return nil
}

func pool(roots []string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	for _, r := range roots {
		if !pool.AppendCertsFromPEM([]byte(r)) {
			return nil, errors.Newf(errors.Internal, "an authority of Consul is no certificate")
		}
	}
	if len(roots) == 0 {
		return nil, errors.Newf(errors.Unavailable, "Consul has no certificate authority: is connect enabled on its servers?")
	}
	return pool, nil
}

// save keeps what is in use on disk, if it is complete. That it could not costs nothing before the next start.
func (s *Certificates) save() {
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	k := s.kept
	s.mu.Unlock()
	if k.Certificate == "" || len(k.Roots) == 0 {
		return
	}
	content, err := json.Marshal(k)
	if err == nil {
		err = datafolder.WriteFile(s.path, content, 0o600)
	}
	if err != nil {
		s.client.log.Warn("the certificate between services was not kept for a Consul that is away", "file", s.path, "error", err)
	}
}

// load takes what was kept, if it can be used now.
func (s *Certificates) load() error {
	content, err := os.ReadFile(s.path)
	if err != nil {
		return err
	}
	var k kept
	if err := json.Unmarshal(content, &k); err != nil {
		return err
	}
	if k.Service != s.service {
		return errors.Newf(errors.Invalid, "it is that of %s", k.Service)
	}
	pair, err := tls.X509KeyPair([]byte(k.Certificate), []byte(k.Key))
	if err != nil {
		return err
	}
	if now := s.client.clock.Now(); now.After(pair.Leaf.NotAfter) {
		return errors.Newf(errors.Invalid, "it expired at %v", pair.Leaf.NotAfter)
	}
	roots, err := pool(k.Roots)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaf, s.trust, s.kept = &pair, rpc.Trust{Roots: roots, Domain: k.Domain}, k
	return nil
}

// probe is a service that nobody runs. An agent hands a certificate that it has to everybody, whatever the token, so
// asking for one that it has would tell nothing.
const probe = "garage-access-probe"

// checkPolicy warns once if who has no token gets the certificate of a service, which then proves nothing.
func (s *Certificates) checkPolicy() {
	_ = s.client.persist(s.client.ctx, "its access rules", func(ctx context.Context) error {
		policy, err := s.client.AccessPolicy(ctx)
		switch policy {
		case PolicyAllow:
			s.client.log.Warn("Consul gives service certificates to anybody who asks: they prove nothing about who calls until Consul's ACLs deny by default (acl.enabled and acl.default_policy = \"deny\")")
		case PolicyDeny:
			s.client.log.Info("Consul denies certificates to who has no token, as it should")
		}
		return err
	})
}

// What AccessPolicy tells.
const (
	PolicyAllow = "allow"
	PolicyDeny  = "deny"
)

// AccessPolicy tells whether Consul denies the certificate of a service to who has no token. Kinds: Unavailable.
func (c *Client) AccessPolicy(ctx context.Context) (string, error) {
	const anonymous = "anonymous" // the token of who has none, which Consul knows by this name
	attempt, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, _, err := c.api.Agent().ConnectCALeaf(probe, (&api.QueryOptions{Token: anonymous}).WithContext(attempt))
	switch {
	case err == nil:
		return PolicyAllow, nil
	case isStatus(err, http.StatusForbidden), isStatus(err, http.StatusUnauthorized):
		return PolicyDeny, nil
	}
	return "", failed(err, "asking for its access rules")
}
