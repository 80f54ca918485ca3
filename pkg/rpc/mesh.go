package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"deuxfleurs.fr/garage/pkg/errors"
)

// Trust is who issues the certificates of the services of a cluster.
type Trust struct {
	// Roots are the authorities.
	Roots *x509.CertPool
	// Domain is the trust domain: the host of the SPIFFE URIs in the certificates.
	Domain string
}

// Issuer gives what a program presents and whom it trusts, both as they are at that moment: they change while
// it runs. Its methods are called at each handshake.
type Issuer interface {
	Certificate() *tls.Certificate
	Trust() Trust
}

// Mesh is the identity of a program whose certificates name services by SPIFFE URIs and have no host names. A
// connection is made only to the service that is meant, both sides verify each other by chain, trust domain and
// name, and a server refuses calls that the table of callers does not allow.
func Mesh(issuer Issuer) Identity {
	server := &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return issuer.Certificate(), nil
		},
		ClientAuth: tls.RequireAnyClientCert,
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := verified(state, issuer.Trust(), x509.ExtKeyUsageClientAuth, time.Now())
			return err
		},
		// A resumed session would keep a certificate in use that was replaced.
		SessionTicketsDisabled: true,
	}
	client := func(service string) credentials.TransportCredentials {
		return credentials.NewTLS(&tls.Config{
			MinVersion: tls.VersionTLS13,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return issuer.Certificate(), nil
			},
			// Host names are not what is verified: VerifyConnection does it all.
			InsecureSkipVerify: true,
			VerifyConnection: func(state tls.ConnectionState) error {
				name, err := verified(state, issuer.Trust(), x509.ExtKeyUsageServerAuth, time.Now())
				if err == nil && name != service {
					err = errors.Newf(errors.PermissionDenied, "%s answers where %s should", name, service)
				}
				return err
			},
		})
	}
	return Identity{Server: credentials.NewTLS(server), Client: client, Authorize: authorize}
}

// verified is the service that a peer proves to be.
func verified(state tls.ConnectionState, trust Trust, usage x509.ExtKeyUsage, now time.Time) (string, error) {
	if len(state.PeerCertificates) == 0 {
		return "", errors.Newf(errors.Unauthenticated, "the other side presents no certificate")
	}
	leaf := state.PeerCertificates[0]
	intermediates := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: trust.Roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err != nil {
		return "", errors.Wrap(errors.Unauthenticated, err, "the certificate of the other side")
	}
	return serviceOf(leaf, trust.Domain)
}

// serviceOf is the service that a certificate names: spiffe://DOMAIN[/ap/…]/ns/…/dc/…/svc/NAME.
func serviceOf(leaf *x509.Certificate, domain string) (string, error) {
	if len(leaf.URIs) != 1 {
		return "", errors.Newf(errors.Unauthenticated, "the certificate of the other side names %d services instead of one", len(leaf.URIs))
	}
	uri := leaf.URIs[0]
	if uri.Scheme != "spiffe" || domain == "" || !strings.EqualFold(uri.Host, domain) {
		return "", errors.Newf(errors.Unauthenticated, "the certificate of the other side, %s, is not of the trust domain %s", uri, domain)
	}
	parts := strings.Split(strings.TrimPrefix(uri.EscapedPath(), "/"), "/")
	if len(parts) == 8 && parts[0] == "ap" {
		parts = parts[2:]
	}
	if len(parts) != 6 || parts[0] != "ns" || parts[2] != "dc" || parts[4] != "svc" {
		return "", errors.Newf(errors.Unauthenticated, "the certificate of the other side, %s, is not that of a service", uri)
	}
	name, err := url.PathUnescape(parts[5])
	if err != nil || name == "" {
		return "", errors.Newf(errors.Unauthenticated, "the certificate of the other side, %s, names no service", uri)
	}
	return name, nil
}

// authorize refuses a call by who is not meant to make it. The connection was verified when it was made.
func authorize(ctx context.Context, method string) error {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return errors.Newf(errors.Unauthenticated, "%s: nothing says who calls", method)
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return errors.Newf(errors.Unauthenticated, "%s: the caller has no certificate", method)
	}
	leaf := info.State.PeerCertificates[0]
	if len(leaf.URIs) != 1 {
		return errors.Newf(errors.Unauthenticated, "%s: the caller's certificate names no service", method)
	}
	service, err := serviceOf(leaf, leaf.URIs[0].Host)
	if err != nil {
		return err
	}
	if !mayCall(service, method) {
		return errors.Newf(errors.PermissionDenied, "%s: %s is not meant to call it", method, service)
	}
	return nil
}
