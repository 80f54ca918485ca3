package program

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/adminserver"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/datafolder"
	"deuxfleurs.fr/garage/pkg/diagnose"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/lifecycle"
	"deuxfleurs.fr/garage/pkg/telemetry"
	"deuxfleurs.fr/garage/pkg/version"
)

// Settings are those that every program has. Embed them with the tag conf:"".
type Settings struct {
	Data        string              `conf:"data" help:"folder that holds everything this program keeps"`
	ClusterID   uuid.UUID           `conf:"cluster-id" help:"cluster that a new data folder belongs to, and an existing one must; by default a new cluster, or any"`
	StopTimeout time.Duration       `conf:"stop-timeout" help:"how long a service may take to finish what is under way when the program stops" min:"1s"`
	Admin       adminserver.Config  `conf:"admin"`
	Log         telemetry.LogConfig `conf:"log"`
	// Join is how the program is one of a cluster; nil for one that is alone. It is not a setting by itself.
	Join *Join
}

// DefaultSettings are for a program with the given data folder and administration address.
func DefaultSettings(data, admin string) Settings {
	return Settings{Data: data, StopTimeout: lifecycle.DefaultStopTimeout,
		Admin: adminserver.Config{Listen: admin}, Log: telemetry.DefaultLogConfig()}
}

// Program is a running program, as its build function sees it.
type Program struct {
	Name     string
	Version  string
	Folder   *datafolder.Folder
	Log      *slog.Logger
	Registry *prometheus.Registry
	Admin    *adminserver.Server
	// Diagnosis is what others may measure of the program; it answers on its administration port and on each Server.
	Diagnosis *diagnose.Program
	// Tracing is nil where nobody asked for traces.
	Tracing *telemetry.Tracing
	// Consul is nil where the program does without.
	Consul *consul.Client
	// Out is where people read what the program has to say to them.
	Out io.Writer
	// OnReady is called once every service is ready; nil for nothing.
	OnReady func(ctx context.Context) error

	join         *Join
	adminTLS     bool
	registration *consul.Registration // nil: none
	services     *lifecycle.Group
	built        []io.Closer // services that were added, as far as they can be closed without running
	checks       []check     // services that were added, as far as they can say how they are
	beforeStop   []func(ctx context.Context)
	closers      []func() error
}

// Add adds a service. Services start in the order in which they are added, and stop in reverse.
// One that has Close is closed if a later one cannot be built. The health of the program follows one that is a Checker.
func (p *Program) Add(name string, s lifecycle.Service) {
	p.services.Add(name, s)
	if c, ok := s.(io.Closer); ok {
		p.built = append(p.built, c)
	}
	if c, ok := s.(Checker); ok {
		p.checks = append(p.checks, check{name, c})
	}
}

// BeforeStop adds what is called when the program is asked to stop, while it still serves as before; it stops when
// all that was added has returned. ctx ends if a service fails meanwhile.
func (p *Program) BeforeStop(f func(ctx context.Context)) { p.beforeStop = append(p.beforeStop, f) }

// abandon closes what was built and will not run.
func (p *Program) abandon() error {
	var errs []error
	for i := len(p.built) - 1; i >= 0; i-- {
		errs = append(errs, p.built[i].Close())
	}
	return errors.Join(errs...)
}

// OnClose adds what is called after all services have stopped, last added first.
func (p *Program) OnClose(f func() error) { p.closers = append(p.closers, f) }

// Listen opens a TCP listener; setting is the name of the setting that the address came from.
func (p *Program) Listen(setting, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, errors.E(errors.Invalid, errors.Setting, setting, "cannot listen on %s: %v; choose a free address of this machine", address, err)
	}
	p.OnClose(func() error {
		// The service that it was given to has usually closed it.
		if err := l.Close(); err != nil && !errors.IsTarget(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return l, nil
}

// Run makes a program, lets build add its services, and runs it until ctx ends or a service fails.
func Run(ctx context.Context, name string, s Settings, out io.Writer, build func(ctx context.Context, p *Program) error) (err error) {
	p := &Program{Name: name, Version: version.String(), Out: out, Log: telemetry.NewLogger(os.Stderr, s.Log).With("service", name)}
	p.Registry = telemetry.NewRegistry(name, p.Version)
	p.services = lifecycle.NewGroup(p.Log, s.StopTimeout)
	defer func() {
		for i := len(p.closers) - 1; i >= 0; i-- {
			err = errors.Join(err, p.closers[i]())
		}
	}()
	if p.Tracing, err = telemetry.NewTracing(ctx, name, p.Version, p.Log); err != nil {
		return err
	}
	p.OnClose(p.Tracing.Close)
	if err := p.openConsul(s); err != nil {
		return err
	}
	if err := p.openFolder(ctx, s); err != nil {
		return err
	}
	if err := p.openAdmin(s.Admin); err != nil {
		return err
	}
	p.openDiagnosis(s.Admin)
	if err := build(ctx, p); err != nil {
		return errors.Join(err, p.abandon())
	}
	all := lifecycle.NewGroup(p.Log, 2*s.StopTimeout)
	all.Add("administration server", p.Admin)
	if p.registration != nil {
		p.services.Add("registration", p.registration)
	}
	p.services.Add("readiness", lifecycle.Func(p.serve))
	all.Add(name, p.services)
	p.Log.Info("starting", "version", p.Version, "data", p.Folder.Path(), "cluster_id", p.Folder.Info().ClusterID, "admin", p.Admin.Addr().String())
	err = unwrapGroup(p.runUntil(ctx, all))
	p.Log.Info("stopped")
	return err
}

// runUntil runs a service until ctx ends and what is to come before its stop has been done.
func (p *Program) runUntil(ctx context.Context, s lifecycle.Service) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var waiting sync.WaitGroup
	waiting.Go(func() {
		defer stop()
		select {
		case <-ctx.Done():
		case <-running.Done():
			return
		}
		for _, f := range p.beforeStop {
			f(running)
		}
	})
	err := s.Run(running)
	stop()
	waiting.Wait()
	return err
}

// unwrapGroup keeps the messages; a single failure needs no more.
func unwrapGroup(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("a service has failed: %w", err)
}

func (p *Program) openAdmin(c adminserver.Config) error {
	token, err := adminserver.Token(p.Folder.Path(adminserver.TokenFile), c.Token)
	if err != nil {
		return err
	}
	listener, err := p.Listen("admin.listen", c.Listen)
	if err != nil {
		return err
	}
	p.adminTLS = c.TLS.Enabled()
	p.Admin, err = adminserver.New(c, adminserver.Deps{Listener: listener, Token: token, Logger: p.Log, Registry: p.Registry})
	if err != nil {
		return err
	}
	return datafolder.WriteFile(p.Folder.Path(adminserver.AddressFile), []byte(clientAddress(p.Admin.Addr().String(), c.TLS.Enabled())+"\n"), 0o644)
}

func (p *Program) openDiagnosis(admin adminserver.Config) {
	p.Diagnosis = diagnose.New(p.Name, p.Version, p.Folder.Info().NodeID, clock.System{})
	p.Diagnosis.AddFolder(p.Folder.Path())
	p.Diagnosis.AddFiles("admin.tls", admin.TLS)
	if p.Consul != nil {
		p.Diagnosis.AddLink(diagnose.Link{Name: "consul", Check: p.Consul.Check})
		p.Diagnosis.AddSetting("consul.acl", p.Consul.AccessPolicy)
	}
	p.Diagnosis.Register(p.Admin.GRPC())
}

// clientAddress is how a client on this machine reaches a server that listens on address.
func clientAddress(address string, secure bool) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	address = net.JoinHostPort(host, port)
	if secure {
		return "https://" + address
	}
	return address
}
