package diagnose

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/tlsfiles"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

// Timeout bounds a diagnosis.
const Timeout = 5 * time.Second

// Link is another part that a program needs.
type Link struct {
	Name string // "consul", "metadata", "database", "ldap", "rebalancer" or "chunk-node"
	Peer string // ID or address; may be empty
	// Check returns nil if the part answers.
	Check func(ctx context.Context) error
}

// Program is what a program lets others measure. What is added is measured by each later diagnosis.
type Program struct {
	clusterv1.UnimplementedDiagnoseServiceServer
	service, version string
	node             uuid.UUID
	clock            clock.Clock
	turn             chan struct{} // holds one value while nobody measures

	mu           sync.Mutex
	folders      []string
	links        []func() []Link
	certificates []func() *clusterv1.Certificate
	settings     []setting
}

type setting struct {
	name string
	read func(ctx context.Context) (string, error)
}

// New is a program of which nothing is measured but its clock and its file descriptors.
func New(service, version string, node uuid.UUID, c clock.Clock) *Program {
	p := &Program{service: service, version: version, node: node, clock: c, turn: make(chan struct{}, 1)}
	p.turn <- struct{}{}
	return p
}

// Register adds the diagnosis to a gRPC server.
func (p *Program) Register(r grpc.ServiceRegistrar) { clusterv1.RegisterDiagnoseServiceServer(r, p) }

func (p *Program) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// AddFolder adds folders that the program keeps data in. Of several on one file system the first is measured.
func (p *Program) AddFolder(paths ...string) {
	p.change(func() { p.folders = append(p.folders, paths...) })
}

// AddLink adds another part that the program needs.
func (p *Program) AddLink(l Link) { p.AddLinks(func() []Link { return []Link{l} }) }

// AddLinks adds parts that the program needs, of which there may be others each time.
func (p *Program) AddLinks(list func() []Link) {
	p.change(func() { p.links = append(p.links, list) })
}

// AddFiles adds the certificate of files; nothing where there are none.
func (p *Program) AddFiles(name string, files tlsfiles.Config) {
	if !files.Enabled() {
		return
	}
	p.addCertificate(func() *clusterv1.Certificate {
		// Files that cannot be read are said by who serves with them; the zero time is that of no certificate.
		expires, _ := tlsfiles.Expires(files)
		return &clusterv1.Certificate{Name: name, Expires: timestamppb.New(expires)}
	})
}

// AddRenewed adds a certificate that the program renews by itself.
func (p *Program) AddRenewed(name string, expires func() time.Time) {
	p.addCertificate(func() *clusterv1.Certificate {
		return &clusterv1.Certificate{Name: name, Expires: timestamppb.New(expires()), Renewed: true}
	})
}

func (p *Program) addCertificate(read func() *clusterv1.Certificate) {
	p.change(func() { p.certificates = append(p.certificates, read) })
}

// AddSetting adds how another program is set up.
func (p *Program) AddSetting(name string, read func(ctx context.Context) (string, error)) {
	p.change(func() { p.settings = append(p.settings, setting{name, read}) })
}

// Diagnose measures all that was added, side by side. Kinds: Deadline and Canceled, while another one is being made.
func (p *Program) Diagnose(ctx context.Context, _ *clusterv1.DiagnoseRequest) (*clusterv1.DiagnoseResponse, error) {
	received := p.clock.Now()
	select {
	case <-p.turn:
		defer func() { p.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, errors.Annotate(ctx.Err(), "waiting for another diagnosis to end")
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	answer := &clusterv1.DiagnoseResponse{Service: p.service, NodeId: p.node.String(), Version: p.version, Received: timestamppb.New(received)}
	answer.OpenFiles, answer.MaxFiles = files()
	var links []Link
	var settings []setting
	p.change(func() {
		for _, list := range p.links {
			links = append(links, list()...)
		}
		for _, read := range p.certificates {
			answer.Certificates = append(answer.Certificates, read())
		}
		settings = append(settings, p.settings...)
		answer.Folders = distinct(p.folders)
	})
	answer.Links = make([]*clusterv1.Link, len(links))
	answer.Settings = make([]*clusterv1.Setting, len(settings))
	var work sync.WaitGroup
	for _, f := range answer.Folders {
		work.Go(func() { measure(ctx, f) })
	}
	for i, l := range links {
		work.Go(func() {
			began := time.Now()
			err := l.Check(ctx)
			answer.Links[i] = &clusterv1.Link{Name: l.Name, Peer: l.Peer, Took: durationpb.New(time.Since(began)), Problem: textOf(err)}
		})
	}
	for i, s := range settings {
		work.Go(func() {
			value, err := s.read(ctx)
			answer.Settings[i] = &clusterv1.Setting{Name: s.name, Value: value, Problem: textOf(err)}
		})
	}
	work.Wait()
	answer.Answered = timestamppb.New(p.clock.Now())
	return answer, nil
}

// files are the file descriptors in use, and how many there may be; 0 where that is not known.
func files() (open, most int64) {
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		open = int64(len(entries))
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil {
		most = int64(min(limit.Cur, 1<<62))
	}
	return open, most
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
