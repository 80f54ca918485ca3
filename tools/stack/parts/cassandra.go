package parts

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"deuxfleurs.fr/garage/tools/install"
	"deuxfleurs.fr/garage/tools/stack/process"
)

//go:embed templates
var templates embed.FS

// Cassandra is the CQL database: nodes on 127.0.0.21 and the following addresses, called "cassandra-1" and so on. ScyllaDB, which
// operators run, is in no registry; Cassandra speaks the same protocol.
type Cassandra struct {
	// Nodes is how many there are, 1 to 3; 0 means as many as the data folder has data of, or 1. A data folder keeps its number.
	Nodes int
	// Secure has clients speak TLS and sign in; the environment file has the CA and the account.
	Secure bool
	// Quick leaves out the optimising compiler: a start takes half of the work, and a long load more. Several nodes, which share the
	// processors, never have it.
	Quick bool
}

// Ports of Cassandra before the offset. JMX is for nodetool, one port a node.
const (
	portCQL     = 9042
	portStorage = 7000
	portJMX     = 7200
)

// tokens is how many places in the ring a node has.
const tokens = 16

// Name is "cassandra".
func (Cassandra) Name() string { return "cassandra" }

func (Cassandra) needs() []string { return nil }

func (Cassandra) install(ctx context.Context, s *Stack, i install.Installer) (map[string]string, error) {
	if err := i.Debian(ctx, install.Package{Name: "openjdk-17-jre-headless", File: javaPattern}, install.Package{Name: "maven", File: "/usr/bin/mvn"}); err != nil {
		return nil, err
	}
	java, err := filepath.Glob(javaPattern)
	if err != nil || len(java) == 0 {
		return nil, errors.Join(fmt.Errorf("no Java 17 at %s", javaPattern), err)
	}
	jars, err := i.Maven(ctx, "cassandra", filepath.Join(s.root, "tools", "stack", "cassandra", "pom.xml"))
	if err != nil {
		return nil, err
	}
	return map[string]string{"java": java[0], "cassandra": jars}, nil
}

const javaPattern = "/usr/lib/jvm/java-17-openjdk-*/bin/java"

// cassandraNode is what the configuration of a node is made of.
type cassandraNode struct {
	Name, Address, Dir, Seeds string
	Tokens                    []string
	CQL, Storage, JMX, HeapMB int
	Quick                     bool
	// Certificate is the file with the key and the certificate that clients see, and CA the one to trust; empty without TLS.
	Certificate, CA string
}

func (c *Cassandra) nodes(s *Stack) ([]cassandraNode, error) {
	if err := c.settle(s); err != nil {
		return nil, err
	}
	heap := 512
	if c.Nodes > 1 {
		heap = 384
	}
	var all []cassandraNode
	var seeds []string
	for n := range c.Nodes {
		name := fmt.Sprintf("cassandra-%d", n+1)
		node := cassandraNode{
			Name: name, Address: fmt.Sprintf("127.0.0.%d", 21+n), Dir: filepath.Join(s.data, name), Tokens: ring(n, c.Nodes),
			CQL: portCQL + s.offset, Storage: portStorage + s.offset, JMX: portJMX + n + s.offset, HeapMB: heap,
			Quick: c.Quick || c.Nodes > 1,
		}
		seeds = append(seeds, node.Address)
		all = append(all, node)
	}
	for n := range all {
		// All are seeds: nodes that start at the same time then wait for none.
		all[n].Seeds = strings.Join(seeds, ",")
	}
	return all, nil
}

// ring returns the tokens of a node such that all nodes together divide the ring evenly.
func ring(node, nodes int) []string {
	all := make([]string, tokens)
	for k := range tokens {
		at := new(big.Int).Lsh(big.NewInt(int64(k*nodes+node)), 64)
		at.Div(at, big.NewInt(int64(tokens*nodes)))
		all[k] = at.Sub(at, new(big.Int).Lsh(big.NewInt(1), 63)).String()
	}
	// The least value is Cassandra's word for no token.
	if node == 0 {
		all[0] = new(big.Int).Add(new(big.Int).Neg(new(big.Int).Lsh(big.NewInt(1), 63)), big.NewInt(1)).String()
	}
	return all
}

func (c Cassandra) start(ctx context.Context, s *Stack, programs map[string]string) (map[string]string, error) {
	nodes, err := c.nodes(s)
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	if c.Secure {
		ca, certificate, err := s.certificates("cassandra", nodes)
		if err != nil {
			return nil, err
		}
		for n := range nodes {
			nodes[n].CA, nodes[n].Certificate = ca, certificate
		}
		env["GARAGE_STACK_CQL_CA"], env["GARAGE_STACK_CQL_USER"], env["GARAGE_STACK_CQL_PASSWORD"] = ca, cqlUser, cqlPassword
	}
	var specs []process.Spec
	var hosts []string
	for _, node := range nodes {
		spec, err := node.spec(s, programs)
		if err != nil {
			return nil, err
		}
		specs = append(specs, spec)
		hosts = append(hosts, spec.Ready.Address)
	}
	if err := s.run(ctx, specs...); err != nil {
		return nil, err
	}
	env["GARAGE_STACK_CQL"] = strings.Join(hosts, ",")
	return env, together(ctx, hosts, env["GARAGE_STACK_CQL_CA"])
}

// settle decides on the number of nodes: the one that the data was made with, because the tokens depend on it.
func (c *Cassandra) settle(s *Stack) error {
	if c.Nodes < 0 || c.Nodes > 3 {
		return fmt.Errorf("%d nodes of Cassandra: there can be 1 to 3", c.Nodes)
	}
	path := filepath.Join(s.data, "cassandra-nodes")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		c.Nodes = max(1, c.Nodes)
		return replace(path, []byte(strconv.Itoa(c.Nodes)), 0o644)
	}
	if err != nil {
		return err
	}
	old, err := strconv.Atoi(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if c.Nodes != 0 && c.Nodes != old {
		return fmt.Errorf("the data in %s is of %d nodes of Cassandra, not %d: use as many, or another folder", s.data, old, c.Nodes)
	}
	c.Nodes = old
	return nil
}

// together returns when every node sees enough others to answer at the highest level that the system keyspaces allow.
func together(ctx context.Context, hosts []string, ca string) error {
	const query = "SELECT * FROM system_distributed.repair_history WHERE keyspace_name = 'none' AND columnfamily_name = 'none' LIMIT 1"
	level := min(uint16(len(hosts)), most)
	for _, host := range hosts {
		if err := poll(ctx, func() error { return askCQL(ctx, host, ca, level, query) }); err != nil {
			return fmt.Errorf("the nodes of Cassandra have not found each other: %w", err)
		}
	}
	return nil
}

func (n cassandraNode) spec(s *Stack, programs map[string]string) (process.Spec, error) {
	conf := filepath.Join(n.Dir, "conf")
	for _, name := range []string{"cassandra.yaml", "logback.xml"} {
		t, err := template.ParseFS(templates, "templates/"+name)
		if err != nil {
			return process.Spec{}, err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, n); err != nil {
			return process.Spec{}, err
		}
		if err := s.configure(n.Name, filepath.Join(conf, name), b.Bytes()); err != nil {
			return process.Spec{}, err
		}
	}
	jars := programs["cassandra"]
	args := []string{
		programs["java"], fmt.Sprintf("-Xms%dM", n.HeapMB), fmt.Sprintf("-Xmx%dM", n.HeapMB), "-Xss256k", "-XX:MaxDirectMemorySize=128M",
		// For one small heap on a shared machine the simplest collector is also the cheapest.
		"-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", "-XX:-UsePerfData",
		"-javaagent:" + filepath.Join(jars, "jamm-0.4.0.jar"),
		"-Dcassandra.config=file://" + filepath.Join(conf, "cassandra.yaml"), "-Dcassandra.storagedir=" + n.Dir,
		"-Dcassandra-foreground=yes", fmt.Sprintf("-Dcassandra.jmx.local.port=%d", n.JMX),
		// The nodes are known and near: nothing is gained by waiting for news of others.
		"-Dcassandra.skip_wait_for_gossip_to_settle=0", "-Dcassandra.ring_delay_ms=1000", "-Dcassandra.superuser_setup_delay_ms=0",
		"-Djava.io.tmpdir=" + conf,
	}
	if n.Quick {
		args = append(args, "-XX:TieredStopAtLevel=1")
	}
	args = append(args, javaOptions()...)
	args = append(args, "-cp", conf+":"+filepath.Join(jars, "*"), "org.apache.cassandra.service.CassandraDaemon")
	return process.Spec{
		Name: n.Name, Args: args, Dir: n.Dir, Log: filepath.Join(s.data, "logs", n.Name+".log"), Grace: 20 * time.Second,
		Ready: process.Ready{Kind: "cql", Address: fmt.Sprintf("%s:%d", n.Address, n.CQL), CA: n.CA},
	}, nil
}

// javaOptions opens what Cassandra reaches into of Java 17.
func javaOptions() []string {
	options := []string{"-Djdk.attach.allowAttachSelf=true"}
	for _, name := range []string{
		"java.base/java.lang.ref", "java.base/jdk.internal.misc", "java.base/jdk.internal.ref", "java.base/sun.nio.ch",
		"java.management.rmi/com.sun.jmx.remote.internal.rmi", "java.rmi/sun.rmi.registry", "java.rmi/sun.rmi.server",
		"java.sql/java.sql", "jdk.attach/sun.tools.attach", "jdk.compiler/com.sun.tools.javac.api", "jdk.compiler/com.sun.tools.javac.code",
		"jdk.compiler/com.sun.tools.javac.comp", "jdk.compiler/com.sun.tools.javac.file", "jdk.compiler/com.sun.tools.javac.parser",
		"jdk.compiler/com.sun.tools.javac.tree", "jdk.compiler/com.sun.tools.javac.util", "jdk.unsupported/sun.misc",
	} {
		options = append(options, "--add-exports="+name+"=ALL-UNNAMED")
	}
	for _, name := range []string{
		"java.base/java.io", "java.base/java.lang", "java.base/java.lang.module", "java.base/java.lang.reflect", "java.base/java.math",
		"java.base/java.net", "java.base/java.nio", "java.base/java.nio.charset", "java.base/java.nio.file.spi", "java.base/java.util",
		"java.base/java.util.concurrent", "java.base/java.util.concurrent.atomic", "java.base/javax.crypto",
		"java.base/jdk.internal.loader", "java.base/jdk.internal.math", "java.base/jdk.internal.module", "java.base/jdk.internal.ref",
		"java.base/jdk.internal.reflect", "java.base/jdk.internal.util.jar", "java.base/sun.nio.ch", "java.base/sun.security.ssl",
		"java.base/sun.security.util", "jdk.management/com.sun.management.internal",
	} {
		options = append(options, "--add-opens="+name+"=ALL-UNNAMED")
	}
	return options
}

// NodetoolCommand is the command line of Cassandra's nodetool for a node, counted from 1; what it is to do comes behind it.
func (s *Stack) NodetoolCommand(node int) ([]string, error) {
	p, err := s.Process(fmt.Sprintf("cassandra-%d", node))
	if err != nil {
		return nil, err
	}
	env, err := s.Env()
	if err != nil {
		return nil, err
	}
	command := append([]string{env["GARAGE_STACK_BIN_JAVA"], "-Xmx64M", "-XX:+UseSerialGC"}, javaOptions()...)
	return append(command,
		"-Dlogback.configurationFile="+filepath.Join(p.Dir, "conf", "logback.xml"), "-Duser.home="+p.Dir, // nodetool keeps a history there
		"-cp", filepath.Join(env["GARAGE_STACK_BIN_CASSANDRA"], "*"), "org.apache.cassandra.tools.NodeTool",
		"-h", "127.0.0.1", "-p", strconv.Itoa(portJMX+node-1+s.offset)), nil
}

// Nodetool runs Cassandra's nodetool for a node, counted from 1, and returns its output.
func (s *Stack) Nodetool(ctx context.Context, node int, args ...string) (string, error) {
	command, err := s.NodetoolCommand(node)
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, command[0], append(command[1:], args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("nodetool %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
