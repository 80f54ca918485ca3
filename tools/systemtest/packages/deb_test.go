package packages

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/s3client"
)

var services = []string{"standalone", "s3-gateway", "metadata", "chunk-node", "rebalancer"}

// debOfRelease is the Debian package for this machine.
func debOfRelease(t *testing.T) string { return file(t, packagesOf, "garage_*_"+runtime.GOARCH+".deb") }

// configure writes the configuration of a service as an operator does.
func (d debian) configure(service, settings string) {
	d.Helper()
	path := d.path("etc/garage/" + service + ".yaml")
	require.FileExists(d, path)
	require.NoError(d, os.WriteFile(path, []byte(settings), 0o644))
}

func TestInstallingStartsNothingAndTheUnitsAreSound(t *testing.T) {
	d := newDebian(t)
	d.install(debOfRelease(t))
	var about struct{ Version, Commit, Go, Platform string }
	require.NoError(t, json.Unmarshal([]byte(d.ok("garage", "version", "--json")), &about))
	require.Equal(t, []string{version, commit, "linux/" + runtime.GOARCH}, []string{about.Version, about.Commit, about.Platform})
	require.Equal(t, strings.TrimPrefix(version, "v"), d.ok("dpkg-query", "--show", "--showformat=${Version}", "garage"))
	require.Empty(t, d.ok("dpkg", "--verify", "garage"))
	require.NoDirExists(t, d.path("var/lib/garage"))

	require.Equal(t, "Garage maintainers <garage@localhost>", d.ok("dpkg-query", "--show", "--showformat=${Maintainer}", "garage"))
	copyright, err := os.ReadFile(d.path("usr/share/doc/garage/copyright"))
	require.NoError(t, err)
	require.Contains(t, string(copyright), "\nLicense: Apache-2.0\n")
	require.Contains(t, string(copyright), "/usr/share/common-licenses/Apache-2.0")
	licences, err := os.ReadFile(d.path("usr/share/doc/garage/THIRD-PARTY-LICENCES.txt"))
	require.NoError(t, err)
	require.Contains(t, string(licences), "\nstd "+strings.TrimPrefix(runtime.Version(), "go")+": BSD-3-Clause\n")
	require.Contains(t, string(licences), "Neither the name of Google")

	conffiles := d.ok("dpkg-query", "--show", "--showformat=${Conffiles}", "garage")
	for _, service := range services {
		name := "garage-" + service + ".service"
		enabled, err := d.run("systemctl", "is-enabled", name)
		require.Error(t, err)
		require.Equal(t, "disabled\n", enabled, name)
		out := d.ok("systemd-analyze", "verify", "--man=no", "/usr/lib/systemd/system/"+name)
		require.Empty(t, strings.TrimSpace(out), name)
		out = d.ok("systemd-analyze", "security", "--offline=yes", "--threshold=20", name)
		require.Contains(t, out, "OK", name)
		for _, end := range []string{".yaml", ".env"} {
			require.Contains(t, conffiles, "/etc/garage/"+service+end+" ")
		}
		secrets, err := os.Stat(d.path("etc/garage/" + service + ".env"))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), secrets.Mode().Perm())
	}
}

func TestAnUpgradeAndAPurgeKeepTheData(t *testing.T) {
	next := filepath.Join(t.TempDir(), "next")
	require.NoError(t, build("next", next, nextVersion, "PLATFORMS=linux/"+runtime.GOARCH))
	d := newDebian(t)
	d.install(debOfRelease(t))
	s3, admin := freeAddress(t), freeAddress(t)
	settings := fmt.Sprintf("s3:\n  listen: %q\nadmin:\n  listen: %q\n", s3, admin)
	d.configure("standalone", settings)
	p := d.process("standalone", admin)
	start(t, p)
	data := d.path("var/lib/garage/standalone")
	o, c := someObjects(t), standaloneClient(t, data, s3)
	o.put(t, c, "kept")
	require.NoError(t, p.Stop())

	d.install(file(t, next, "*.deb"))
	require.Contains(t, d.ok("garage", "version"), "garage "+nextVersion+" ")
	kept, err := os.ReadFile(d.path("etc/garage/standalone.yaml"))
	require.NoError(t, err)
	require.Equal(t, settings, string(kept), "the operator's settings")
	start(t, p)
	o.get(t, c, "kept")
	require.NoError(t, p.Stop())

	said := d.ok("dpkg", "--purge", "garage")
	require.Contains(t, said, "/var/lib/garage is kept")
	for _, gone := range []string{"etc/garage", "usr/lib/garage", "usr/bin/garage", "usr/lib/systemd/system/garage-standalone.service"} {
		_, err := os.Stat(d.path(gone))
		require.ErrorIs(t, err, os.ErrNotExist, gone)
	}
	d.install(file(t, next, "*.deb"))
	d.configure("standalone", settings)
	p = d.process("standalone", admin)
	start(t, p)
	o.get(t, c, "kept")
	require.NoError(t, p.Stop())
}

func TestTheServicesOfThePackageServeAsTheirUnitsSay(t *testing.T) {
	d := newDebian(t)
	d.install(debOfRelease(t))
	rpc, admin := map[string]string{}, map[string]string{}
	for _, service := range services[1:] {
		rpc[service], admin[service] = freeAddress(t), freeAddress(t)
	}
	listen := func(service string) string {
		return fmt.Sprintf("admin:\n  listen: %q\nrpc:\n  listen: %q\n", admin[service], rpc[service])
	}
	d.configure("chunk-node", listen("chunk-node"))
	start(t, d.process("chunk-node", admin["chunk-node"]))
	var folder struct {
		NodeID    string `json:"node_id"`
		ClusterID string `json:"cluster_id"`
	}
	read(t, d.path("var/lib/garage/chunk-node/garage.json"), &folder)
	layout := fmt.Sprintf(`{"number": 1, "replication": 1, "nodes": [{"id": %q, "zone": "here", "capacity": "1GB", "address": %q}]}`, folder.NodeID, rpc["chunk-node"])
	require.NoError(t, os.WriteFile(d.path("etc/garage/layout.json"), []byte(layout), 0o644))
	common := fmt.Sprintf("cluster-id: %s\ncluster:\n  layout: /etc/garage/layout.json\n", folder.ClusterID)

	d.configure("metadata", common+listen("metadata"))
	start(t, d.process("metadata", admin["metadata"]))
	common += fmt.Sprintf("metadata-address: %q\n", rpc["metadata"])
	d.configure("rebalancer", common+fmt.Sprintf("admin:\n  listen: %q\n", admin["rebalancer"]))
	const token = "token-of-the-operator"
	require.NoError(t, os.WriteFile(d.path("etc/garage/rebalancer.env"), []byte("# secrets\nGARAGE_ADMIN_TOKEN="+token+"\n"), 0o600))
	start(t, d.process("rebalancer", admin["rebalancer"]))
	d.configure("s3-gateway", common+fmt.Sprintf("admin:\n  listen: %q\ns3:\n  listen: %q\n", admin["s3-gateway"], rpc["s3-gateway"]))
	start(t, d.process("s3-gateway", admin["s3-gateway"]))

	var key struct {
		AccessKey string `json:"access_key"`
		Secret    string `json:"secret_key"`
	}
	made := d.ok("env", "GARAGE_ADMIN="+admin["rebalancer"], "GARAGE_ADMIN_TOKEN="+token, "garage", "key", "create", "first", "--create-buckets", "--json")
	require.NoError(t, json.Unmarshal([]byte(made), &key), made)
	c := s3client.New(s3client.Endpoint{URL: "http://" + rpc["s3-gateway"], AccessKey: key.AccessKey, SecretKey: key.Secret, Region: "garage"}, 1)
	o := someObjects(t)
	o.put(t, c, "first")
	o.get(t, c, "first")
}
