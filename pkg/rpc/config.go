package rpc

import (
	"crypto/tls"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"

	"deuxfleurs.fr/garage/pkg/config"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/telemetry"
	"deuxfleurs.fr/garage/pkg/tlsfiles"
)

// Where the certificates between services come from.
const (
	sourceConsul = "consul"
	sourceFiles  = "files"
	sourceOff    = "off"
)

// Security is how services know each other: with certificates on both sides, from Consul's CA or from files, or not
// at all, which is refused beyond loopback unless it is asked for.
type Security struct {
	Source          string `conf:"source" help:"where the certificates between services come from: consul, files, or off for plain text; default: files if they are named, else off" allowed:"consul,files,off"`
	tlsfiles.Config `conf:""`
	CA              string `conf:"ca" help:"PEM file of the authority that issues the certificates of all services"`
	Insecure        bool   `conf:"insecure" help:"speaks to other services without TLS beyond loopback, for links that are protected otherwise"`
}

// source is Source with its default.
func (s Security) source() string {
	switch {
	case s.Source != "":
		return s.Source
	case s.Config.Enabled():
		return sourceFiles
	}
	return sourceOff
}

// FromConsul tells whether the certificates are Consul's.
func (s Security) FromConsul() bool { return s.source() == sourceConsul }

// ServeConfig is where a service listens for the others, and how they know each other.
type ServeConfig struct {
	Listen string   `conf:"listen" flag:"listen" help:"address of the gRPC server for other services"`
	TLS    Security `conf:"tls"`
}

// CallConfig is how a service that only calls others knows them.
type CallConfig struct {
	TLS Security `conf:"tls"`
}

// Validate refuses what is incomplete.
func (s *Security) Validate() error {
	named := s.Config.Enabled()
	switch {
	case named != (s.CA != ""):
		return config.Invalid("ca", "certificate, key and authority are set together or not at all")
	case s.Source == sourceFiles && !named:
		return config.Invalid("source", "files need cert, key and ca")
	case s.Source != "" && s.Source != sourceFiles && named:
		return config.Invalid("source", "it is %s, and files are named besides: remove one of the two", s.Source)
	}
	return nil
}

// Identity makes what servers and clients present and demand from files, or nothing without them.
// r takes the metric of their end; nil: it is not published.
func (s Security) Identity(logger *slog.Logger, r prometheus.Registerer) (Identity, error) {
	server, client, err := s.files(logger, r)
	if err != nil || server == nil {
		return Identity{}, err
	}
	return Identity{Server: server, Client: func(string) credentials.TransportCredentials { return client }}, nil
}

func (s Security) files(logger *slog.Logger, r prometheus.Registerer) (server, client credentials.TransportCredentials, err error) {
	if s.source() != sourceFiles {
		return nil, nil, nil
	}
	certificate, err := tlsfiles.Load(s.Config, logger, nil)
	if err != nil {
		return nil, nil, errors.Wrap(errors.Invalid, err, "TLS between services")
	}
	telemetry.RegisterCertificate(r, "rpc", certificate.Current)
	authorities, err := tlsfiles.Authorities(s.CA)
	if err != nil {
		return nil, nil, errors.Wrap(errors.Invalid, err, "TLS between services")
	}
	forServer := certificate.Server("h2")
	forServer.ClientAuth, forServer.ClientCAs = tls.RequireAndVerifyClientCert, authorities
	forClient := certificate.Client()
	forClient.RootCAs = authorities
	return credentials.NewTLS(forServer), credentials.NewTLS(forClient), nil
}

// CheckAddress refuses an address beyond loopback when there is no TLS and nobody asked for that.
// setting is what the error names.
func (s Security) CheckAddress(setting, address string) error {
	if s.source() != sourceOff || s.Insecure || IsLoopback(address) {
		return nil
	}
	return errors.E(errors.Invalid, errors.Setting, setting,
		"%s is beyond this machine, and services would trust whoever answers there: set rpc.tls.source to consul, or rpc.tls.cert, rpc.tls.key and rpc.tls.ca, or rpc.tls.insecure if the link is protected otherwise", address)
}

// IsLoopback tells whether an address host:port stays on this machine, as all of 127.0.0.0/8 does.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
