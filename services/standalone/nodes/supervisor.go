package nodes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/adminserver"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/datafolder"
	"deuxfleurs.fr/garage/pkg/lifecycle"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	"deuxfleurs.fr/garage/services/rebalancer/console"
	"deuxfleurs.fr/garage/services/standalone/credentials"
)

const (
	// File names the processes.
	File = "nodes.json"

	readyTimeout = time.Minute
	stopTimeout  = lifecycle.DefaultStopTimeout + 5*time.Second
)

// Config says where the cluster keeps its data and listens.
type Config struct {
	Data   string
	S3     string
	Admin  string
	Region string
	Token  string // of administrators; empty: the one in the data folder
}

// Supervisor runs the processes of a cluster.
type Supervisor struct {
	config    Config
	log       *slog.Logger
	out       io.Writer
	folder    *datafolder.Folder
	token     string
	processes []*process

	mu sync.Mutex // held while processes are made or started, and by Kill
}

// New makes a supervisor; it says to out what people should know.
func New(c Config, log *slog.Logger, out io.Writer) *Supervisor {
	return &Supervisor{config: c, log: log, out: out}
}

// Run starts the processes and stops them when ctx ends.
func (s *Supervisor) Run(ctx context.Context) (err error) {
	if s.folder, err = datafolder.Open(s.config.Data, datafolder.Options{Service: "nodes"}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.folder.Close()) }()
	if err := s.prepare(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop before all were ready
		}
		return err
	}
	<-ctx.Done()
	return nil
}

func (s *Supervisor) prepare() (err error) {
	s.token, err = adminserver.Token(s.folder.Path(adminserver.TokenFile), s.config.Token)
	if err != nil {
		return err
	}
	if err := os.Remove(s.folder.Path(File)); err != nil && !os.IsNotExist(err) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes, err = plan(s.folder, s.config.S3, s.config.Admin, s.config.Region)
	return err
}

func (s *Supervisor) start(ctx context.Context) error {
	ready, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for _, p := range s.processes {
		if err := s.startOne(p); err != nil {
			return err
		}
	}
	for _, p := range s.processes {
		if err := p.waitReady(ready); err != nil {
			return err
		}
	}
	endpoint := credentials.Endpoint{URL: credentials.EndpointURL(s.config.S3, false), Region: s.config.Region}
	made, err := s.ensureKey(ready, endpoint)
	if err != nil {
		return err
	}
	content, err := json.MarshalIndent(map[string]any{"processes": s.processes}, "", "  ")
	if err != nil {
		return err
	}
	if err := datafolder.WriteFile(s.folder.Path(adminserver.AddressFile), []byte(s.config.Admin+"\n"), 0o644); err != nil {
		return err
	}
	if err := datafolder.WriteFile(s.folder.Path(File), append(content, '\n'), 0o600); err != nil {
		return err
	}
	return s.welcome(made)
}

func (s *Supervisor) startOne(p *process) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.start(s.environment(), s.log)
}

// environment is that of this program with the token, and without the settings that differ between the processes.
func (s *Supervisor) environment() []string {
	var env []string
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		switch name {
		case adminserver.TokenEnv, "GARAGE_DATA", "GARAGE_CONFIG", "GARAGE_ADMIN":
		default:
			env = append(env, e)
		}
	}
	return append(env, adminserver.TokenEnv+"="+s.token)
}

// ensureKey makes the first key by the admin API.
func (s *Supervisor) ensureKey(ctx context.Context, e credentials.Endpoint) (made bool, err error) {
	conn, err := adminserver.Dial(adminserver.DialConfig{Address: s.config.Admin, Token: s.token})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	admin := adminv1.NewAdminServiceClient(conn)
	return credentials.Ensure(ctx, s.folder.Path(), e, credentials.Deps{
		HasKeys: func(ctx context.Context) (bool, error) {
			page, err := admin.ListKeys(ctx, &adminv1.ListKeysRequest{Limit: 1})
			return len(page.GetKeys()) > 0, err
		},
		Add: func(ctx context.Context, k credentials.Key) error {
			_, err := admin.ImportKey(ctx, &adminv1.ImportKeyRequest{Name: credentials.KeyName, AccessKey: k.AccessKey, Secret: k.Secret, CreateBuckets: true})
			return err
		},
		Random: clock.SystemRandom,
	})
}

func (s *Supervisor) welcome(made bool) error {
	var b strings.Builder
	for _, p := range s.processes {
		fmt.Fprintf(&b, "%-14s pid %-8d %s\n", p.Name, p.PID, p.Log)
	}
	b.WriteString(credentials.Welcome(s.folder.Path(), credentials.EndpointURL(s.config.S3, false), s.config.Admin, credentials.EndpointURL(s.config.Admin, false)+console.Path, made))
	_, err := io.WriteString(s.out, b.String())
	return err
}

// stop asks the processes to end, in the reverse order of starting.
func (s *Supervisor) stop() error {
	var problems []error
	for i := len(s.processes) - 1; i >= 0; i-- {
		problems = append(problems, s.processes[i].stop(stopTimeout))
	}
	return errors.Join(problems...)
}

// Kill ends every process at once; it is for a second signal.
func (s *Supervisor) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.processes {
		if p.running != nil {
			// One that has ended needs no end.
			_ = p.running.process.Kill()
		}
	}
}
