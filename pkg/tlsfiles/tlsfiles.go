// Package tlsfiles serves a TLS certificate from two files and follows their changes, so that a
// renewed certificate needs no restart.
//
// The files are looked at again when a connection is opened, at most once a second. That needs no
// background work and notices every way of replacing a file, also the symbolic links that secret
// managers swap. While the new files cannot be read or do not fit each other, the certificate that
// was read last stays in use and the error is logged once.
package tlsfiles

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/config"
)

// CheckInterval is how often, at most, the files are looked at.
const CheckInterval = time.Second

// Config names the files. Both empty means no TLS.
type Config struct {
	// Cert is a PEM file with the certificate, followed by those of the intermediate authorities.
	Cert string `conf:"cert" help:"PEM file of the certificate and its chain; read again when it changes"`
	// Key is a PEM file with the private key.
	Key string `conf:"key" help:"PEM file of the certificate's private key; read again when it changes"`
}

// Enabled tells whether TLS is asked for.
func (c Config) Enabled() bool { return c.Cert != "" || c.Key != "" }

// Validate refuses one file without the other.
func (c *Config) Validate() error {
	switch {
	case c.Cert != "" && c.Key == "":
		return config.Invalid("key", "must be set too, since there is a certificate")
	case c.Cert == "" && c.Key != "":
		return config.Invalid("cert", "must be set too, since there is a private key")
	}
	return nil
}

// Certificate is a pair of files and the certificate last read from them.
type Certificate struct {
	files Config
	log   *slog.Logger
	now   func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
	seen    [2]stamp // the state of the files when they were last read, also in vain
	next    time.Time
}

// stamp tells one state of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

// Load reads the files. now is the clock that paces the looks at them; nil means time.Now.
func Load(files Config, logger *slog.Logger, now func() time.Time) (*Certificate, error) {
	if files.Cert == "" || files.Key == "" {
		return nil, errors.New("TLS needs both a certificate file and a key file")
	}
	if now == nil {
		now = time.Now
	}
	c := &Certificate{files: files, log: logger, now: now}
	seen, err := c.stat()
	if err != nil {
		return nil, err
	}
	c.seen, c.next = seen, now().Add(CheckInterval)
	if c.current, err = c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// Server is a TLS configuration for servers with this certificate, for TLS 1.2 and later. protocols
// are offered by ALPN, such as "h2" and "http/1.1".
func (c *Certificate) Server(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: protocols,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.Current(), nil
		},
	}
}

// Client is a TLS configuration for clients that present this certificate, for TLS 1.3.
func (c *Certificate) Client() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return c.Current(), nil
		},
	}
}

// Current is the certificate as of now.
func (c *Certificate) Current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if now.Before(c.next) {
		return c.current
	}
	c.next = now.Add(CheckInterval)
	seen, err := c.stat()
	if err == nil && seen == c.seen {
		return c.current
	}
	if err == nil {
		var renewed *tls.Certificate
		if renewed, err = c.read(); err == nil {
			c.current, c.seen = renewed, seen
			c.log.Info("the TLS certificate was renewed", "file", c.files.Cert, "expires", renewed.Leaf.NotAfter)
			return c.current
		}
	}
	if seen != c.seen {
		c.log.Error("the TLS certificate cannot be renewed; the one read before stays in use", "error", err)
		c.seen = seen
	}
	return c.current
}

func (c *Certificate) stat() ([2]stamp, error) {
	var seen [2]stamp
	for i, path := range []string{c.files.Cert, c.files.Key} {
		info, err := os.Stat(path)
		if err != nil {
			return [2]stamp{}, fmt.Errorf("TLS file: %w", err)
		}
		seen[i] = stamp{modified: info.ModTime(), size: info.Size()}
	}
	return seen, nil
}

func (c *Certificate) read() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return nil, fmt.Errorf("TLS files %s and %s: %w", c.files.Cert, c.files.Key, err)
	}
	return &pair, nil
}

// Expires is when the certificate in the files ends to be valid.
func Expires(files Config) (time.Time, error) {
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return time.Time{}, fmt.Errorf("TLS files %s and %s: %w", files.Cert, files.Key, err)
	}
	return pair.Leaf.NotAfter, nil
}
