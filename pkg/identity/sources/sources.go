// Package sources makes the source of identities that settings describe: the built-in keys, and who LDAP knows if there is LDAP. Gateways find
// with it who signs, and rebalancers explain with it who may do what.
package sources

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/diagnose"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/identity/keys"
	"deuxfleurs.fr/garage/pkg/identity/ldap"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// Config says where identities come from, besides the built-in keys.
type Config struct {
	LDAP ldap.Config `conf:"ldap"`
}

// DefaultConfig is without LDAP.
func DefaultConfig() Config { return Config{LDAP: ldap.DefaultConfig()} }

// Deps are what sources work with.
type Deps struct {
	Keys     meta.Keys
	KeyCache time.Duration // how long a built-in key is kept, at most keys.MaxKeep
	Logger   *slog.Logger
	Registry prometheus.Registerer // nil: metrics are not published
}

// Sources are where identities come from.
type Sources struct {
	identity.Source
	// Directory is LDAP; nil: there is none.
	Directory *ldap.Source
	url       string // of the directory's servers
}

// New makes sources. A directory that is away keeps nothing from starting: built-in keys work without it. Kinds: Invalid. Close them.
func New(ctx context.Context, c Config, d Deps) (Sources, error) {
	builtIn := keys.New(d.Keys, clock.System{}, d.KeyCache)
	telemetry.RegisterCache(d.Registry, "key", builtIn.CacheCounts)
	if !c.LDAP.Enabled() {
		return Sources{Source: builtIn}, nil
	}
	directory, err := ldap.New(c.LDAP, ldap.Deps{Clock: clock.System{}, Logger: d.Logger, Registry: d.Registry})
	if err != nil {
		return Sources{}, err
	}
	if err := directory.Check(ctx); err != nil {
		d.Logger.Error("LDAP cannot be asked; starting without it, and trying again at each request that needs it", "error", err)
	} else {
		d.Logger.Info("LDAP can be asked", "url", c.LDAP.URL)
	}
	return Sources{Source: identity.Combine(builtIn, directory, clock.System{}, d.KeyCache), Directory: directory, url: strings.Join(c.LDAP.URL, " ")}, nil
}

// AddTo has diagnoses of a program try to reach the directory, if there is one.
func (s Sources) AddTo(p *diagnose.Program) {
	if s.Directory != nil {
		p.AddLink(diagnose.Link{Name: "ldap", Peer: s.url, Check: s.Directory.Check})
	}
}

// Close ends what it asks LDAP for.
func (s Sources) Close() error {
	if s.Directory == nil {
		return nil
	}
	return s.Directory.Close()
}
