//go:build stack

package ldap

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
)

const (
	suffix   = "dc=garage,dc=example"
	adminDN  = "cn=admin," + suffix
	annKey   = "GKANN0000000000000001"
	benKey   = "GKBEN0000000000000002"
	annDN    = "uid=ann,ou=people," + suffix
	benDN    = "uid=ben,ou=people," + suffix
	photosDN = "cn=photographers,ou=groups," + suffix
)

// slapd is a server of its own, with the schema and the tree of nomad/ldap.
type slapd struct {
	t       *testing.T
	folder  string
	address string // for ldap://
	secure  string // for ldaps://
	ca      string // file
	command *exec.Cmd
}

func program(t *testing.T, name string) string {
	t.Helper()
	for _, folder := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/lib/openldap") {
		if path := filepath.Join(folder, name); exec.Command(path, "-VV").Run() == nil || isFile(path) {
			return path
		}
	}
	t.Fatalf("%s is not installed: install slapd (on Debian: apt-get install slapd)", name)
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func newSlapd(t *testing.T) *slapd {
	t.Helper()
	s := &slapd{t: t, folder: t.TempDir(), address: freeAddress(t), secure: freeAddress(t)}
	examples, err := filepath.Abs("../../../nomad/ldap")
	require.NoError(t, err)
	configuration, err := os.ReadFile(filepath.Join(examples, "slapd.ldif"))
	require.NoError(t, err)
	for _, name := range []string{"config", "data"} {
		require.NoError(t, os.Mkdir(filepath.Join(s.folder, name), 0o700))
	}
	s.ca = s.certify("127.0.0.1")
	text := strings.NewReplacer(
		"SCHEMADIR", "/etc/ldap/schema", "GARAGEDIR", examples, "DATADIR", filepath.Join(s.folder, "data"),
		"olcIdleTimeout: 600\n", "olcIdleTimeout: 600\nolcTLSCACertificateFile: "+s.ca+"\nolcTLSCertificateFile: "+filepath.Join(s.folder, "cert.pem")+
			"\nolcTLSCertificateKeyFile: "+filepath.Join(s.folder, "key.pem")+"\n",
	).Replace(string(configuration))
	s.load("0", text)
	tree, err := os.ReadFile(filepath.Join(examples, "tree.ldif"))
	require.NoError(t, err)
	s.load("1", string(tree))
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *slapd) load(database, text string) {
	s.t.Helper()
	load := exec.Command(program(s.t, "slapadd"), "-n", database, "-F", filepath.Join(s.folder, "config"))
	load.Stdin = strings.NewReader(text)
	out, err := load.CombinedOutput()
	require.NoError(s.t, err, "%s", out)
}

func (s *slapd) start() {
	s.t.Helper()
	s.command = exec.Command(program(s.t, "slapd"), "-d", "0", "-F", filepath.Join(s.folder, "config"),
		"-h", "ldap://"+s.address+" ldaps://"+s.secure)
	s.command.Stderr = os.Stderr
	require.NoError(s.t, s.command.Start())
	deadline := time.Now().Add(20 * time.Second)
	for {
		conn, err := net.DialTimeout("tcp", s.address, time.Second)
		if err == nil {
			conn.Close()
			return
		}
		require.True(s.t, time.Now().Before(deadline), "slapd does not listen: %v", err)
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *slapd) signal(which os.Signal) { require.NoError(s.t, s.command.Process.Signal(which)) }

// freeze returns when every thread stands still: one that runs while the signal comes may still answer.
func (s *slapd) freeze() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	require.Eventually(s.t, func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.command.Process.Pid))
		require.NoError(s.t, err)
		for _, path := range threads {
			text, err := os.ReadFile(path)
			if err != nil || !strings.Contains(string(text), ") T ") {
				return false
			}
		}
		return len(threads) > 0
	}, time.Minute, time.Millisecond, "slapd does not stop")
}

func (s *slapd) stop() {
	if s.command == nil {
		return
	}
	_ = s.command.Process.Signal(syscall.SIGCONT)
	s.signal(syscall.SIGTERM)
	_ = s.command.Wait() // killed by the signal
	s.command = nil
}

// admin connects as the administrator.
func (s *slapd) admin() *ldap.Conn {
	s.t.Helper()
	conn, err := ldap.DialURL("ldap://" + s.address)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { conn.Close() })
	require.NoError(s.t, conn.Bind(adminDN, "admin-for-development"))
	return conn
}

// add adds an entry; attributes are name, value, name, value …
func add(t *testing.T, conn *ldap.Conn, dn string, attributes ...string) {
	t.Helper()
	r := ldap.NewAddRequest(dn, nil)
	all := make(map[string][]string)
	for i := 0; i < len(attributes); i += 2 {
		all[attributes[i]] = append(all[attributes[i]], attributes[i+1])
	}
	for name, values := range all {
		r.Attribute(name, values)
	}
	require.NoError(t, conn.Add(r))
}

func modify(t *testing.T, conn *ldap.Conn, dn string, change func(*ldap.ModifyRequest)) {
	t.Helper()
	r := ldap.NewModifyRequest(dn, nil)
	change(r)
	require.NoError(t, conn.Modify(r))
}

// config is that of a gateway on this server.
func (s *slapd) config() Config {
	c := DefaultConfig()
	c.URL = []string{"ldap://" + s.address}
	c.BindDN, c.BindPassword = "cn=s3-gateway,ou=services,"+suffix, "gateway-for-development"
	c.People.Base, c.Groups.Base = suffix, "ou=groups,"+suffix
	return c
}

// opened is a source with what a test drives and looks at.
type opened struct {
	*Source
	clock    *clock.Manual
	registry *prometheus.Registry
	log      *logs
}

func open(t *testing.T, c Config) *opened {
	t.Helper()
	o := &opened{clock: clock.NewManual(time.Unix(1e9, 0)), registry: prometheus.NewRegistry(), log: &logs{}}
	var err error
	o.Source, err = New(c, Deps{Clock: o.clock, Logger: slog.New(slog.NewTextHandler(o.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Registry: o.registry})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, o.Close())
		for _, secret := range []string{"secret-of", "for-development"} {
			require.NotContains(t, o.log.String(), secret)
		}
	})
	return o
}

// metric is the value of a metric, with a label if it has one.
func (o *opened) metric(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := o.registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("there is no metric %s %s", name, label)
	return 0
}

type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// certify makes an authority, and a certificate of it for a host; it returns the file of the authority.
func (s *slapd) certify(host string) string {
	s.t.Helper()
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(s.t, err)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	require.NoError(s.t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(s.t, err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		IPAddresses: []net.IP{net.ParseIP(host)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, authorityKey)
	require.NoError(s.t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(s.t, err)
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: der}, "cert.pem": {Type: "CERTIFICATE", Bytes: leafDER}, "key.pem": {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		require.NoError(s.t, os.WriteFile(filepath.Join(s.folder, name), pem.EncodeToMemory(block), 0o600))
	}
	return filepath.Join(s.folder, "ca.pem")
}

// counter forwards connections and counts them.
type counter struct {
	net.Listener
	mu    sync.Mutex
	total int
	done  sync.WaitGroup
}

func countConnections(t *testing.T, to string) *counter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &counter{Listener: l}
	ctx, cancel := context.WithCancel(context.Background())
	c.done.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.total++
			c.mu.Unlock()
			server, err := net.Dial("tcp", to)
			if err != nil {
				from.Close()
				continue
			}
			context.AfterFunc(ctx, func() { from.Close(); server.Close() })
			for _, pair := range [][2]net.Conn{{from, server}, {server, from}} {
				c.done.Go(func() {
					buffer := make([]byte, 4096)
					for {
						n, err := pair[0].Read(buffer)
						if _, failed := pair[1].Write(buffer[:n]); err != nil || failed != nil {
							pair[1].Close()
							return
						}
					}
				})
			}
		}
	})
	t.Cleanup(func() { cancel(); l.Close(); c.done.Wait() })
	return c
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}
