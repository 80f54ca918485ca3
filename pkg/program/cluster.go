package program

import (
	"context"
	"net"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/datafolder"
	"deuxfleurs.fr/garage/pkg/errors"
)

// Join is how a program is one of a cluster. Embed it with the tag conf:"" and let Settings.Join point to it.
type Join struct {
	Zone   string        `conf:"zone" help:"site of this machine: copies of a chunk go to different zones"`
	Consul consul.Config `conf:"consul"`
}

// DefaultJoin is a program without Consul.
func DefaultJoin() Join { return Join{Consul: consul.DefaultConfig()} }

// UsesConsul tells whether the program finds others through Consul.
func (s Settings) UsesConsul() bool { return s.Join != nil && s.Join.Consul.Enabled }

// openConsul makes the client of Consul, if there is to be one.
func (p *Program) openConsul(s Settings) (err error) {
	if !s.UsesConsul() {
		return nil
	}
	p.join = s.Join
	p.Consul, err = consul.New(s.Join.Consul, consul.Deps{Clock: clock.System{}, Logger: p.Log, Registry: p.Registry})
	if err == nil {
		p.OnClose(p.Consul.Close)
	}
	return err
}

// openFolder opens the data folder. A new one belongs to the cluster that Consul knows, where there is Consul.
func (p *Program) openFolder(ctx context.Context, s Settings) (err error) {
	o := datafolder.Options{Service: p.Name, ClusterID: s.ClusterID}
	if p.Consul != nil {
		o.NewCluster = func() (uuid.UUID, error) { return p.Consul.ClusterID(ctx, uuid.New()) }
	}
	if p.Folder, err = datafolder.Open(s.Data, o); err != nil {
		return err
	}
	p.OnClose(p.Folder.Close)
	if p.Consul != nil {
		p.Consul.Join(p.Folder.Info().ClusterID)
		p.Consul.KeepIn(p.Folder.Path(consul.InstancesFile))
	}
	return p.checkCluster(ctx)
}

// checkCluster refuses a folder of another cluster than that of Consul. A Consul that is away does not keep a
// program from starting.
func (p *Program) checkCluster(ctx context.Context) error {
	if p.Consul == nil {
		return nil
	}
	mine := p.Folder.Info().ClusterID
	known, err := p.Consul.KnownClusterID(ctx)
	switch {
	case err != nil:
		p.Log.Warn("Consul was not asked which cluster this is", "error", err)
		return nil
	case known == uuid.Nil:
		if known, err = p.Consul.ClusterID(ctx, mine); err != nil {
			return err
		}
	}
	if known != mine {
		return errors.E(errors.Invalid, errors.Folder, p.Folder.Path(),
			"it belongs to the cluster %v, and the key %scluster-id of Consul says that this is %v: mixing clusters would lose data; use another folder, or another consul.prefix", mine, p.Consul.Prefix(), known)
	}
	return nil
}

// Announce has the program registered in Consul, where there is Consul, once all services are ready: s says what
// it is; the rest is filled in. It listens for others on address, which setting says. Kinds: Invalid.
func (p *Program) Announce(s consul.Service, setting string, address net.Addr) (err error) {
	if p.Consul == nil {
		return nil
	}
	if s.Address, err = p.join.Consul.Address(setting, address.String()); err != nil {
		return err
	}
	if s.Admin, err = p.join.Consul.AdminAddress(p.Admin.Addr().String()); err != nil {
		return err
	}
	s.NodeID, s.AdminTLS = p.Folder.Info().NodeID, p.adminTLS
	s.Zone, s.Version, s.Tags = p.join.Zone, p.Version, p.join.Consul.Tags
	s.Serving = func() bool { return p.check(context.Background()) == nil }
	p.registration, err = p.Consul.NewRegistration(s)
	return err
}
