package main

import (
	"context"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/identity/keys"
	"deuxfleurs.fr/garage/pkg/identity/ldap"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/program"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// identitySettings say where identities come from, besides the built-in keys.
type identitySettings struct {
	LDAP ldap.Config `conf:"ldap"`
}

// identities are the built-in keys, and who LDAP knows if there is LDAP. A directory that is away keeps
// nothing from starting: built-in keys work without it.
func (s *settings) identities(ctx context.Context, p *program.Program, store meta.Keys) (identity.Source, error) {
	builtIn := keys.New(store, clock.System{}, s.KeyCache)
	telemetry.RegisterCache(p.Registry, "key", builtIn.CacheCounts)
	if !s.Identity.LDAP.Enabled() {
		return builtIn, nil
	}
	directory, err := ldap.New(s.Identity.LDAP, ldap.Deps{Clock: clock.System{}, Logger: p.Log, Registry: p.Registry})
	if err != nil {
		return nil, err
	}
	p.OnClose(directory.Close)
	if err := directory.Check(ctx); err != nil {
		p.Log.Error("LDAP cannot be asked; starting without it, and trying again at each request that needs it", "error", err)
	} else {
		p.Log.Info("LDAP can be asked", "url", s.Identity.LDAP.URL)
	}
	return identity.Combine(builtIn, directory, clock.System{}, s.KeyCache), nil
}
