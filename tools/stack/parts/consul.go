package parts

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/tools/install"
	"deuxfleurs.fr/garage/tools/stack/process"
)

// Consul is a server on 127.0.0.1, "consul-server", and an agent for each machine, "consul-" and the machine's name, with the UI and
// the CA of Connect.
type Consul struct {
	Agents []Agent
	// ACL denies what no token allows, but for reading nodes and services. The token of the operator is in the environment file, and
	// the agents have it.
	ACL bool
}

// Ports of Consul before the offset. Every agent has the same on an address of its own.
const (
	portConsulHTTP   = 8500
	portConsulGRPC   = 8502
	portConsulServer = 8300
	portConsulSerf   = 8301
)

// Name is "consul".
func (Consul) Name() string { return "consul" }

func (Consul) needs() []string { return nil }

func (Consul) install(ctx context.Context, s *Stack, i install.Installer) (map[string]string, error) {
	return s.build(ctx, i, "consul", "github.com/hashicorp/consul", "")
}

func (c Consul) start(ctx context.Context, s *Stack, programs map[string]string) (map[string]string, error) {
	env := map[string]string{"GARAGE_STACK_CONSUL": "http://" + s.consulAddress("127.0.0.1")}
	if c.ACL {
		token, err := s.secret("consul-token")
		if err != nil {
			return nil, err
		}
		env["GARAGE_STACK_CONSUL_TOKEN"] = token
	}
	server := c.config(s, "server", Agent{Name: "server", Address: "127.0.0.1"}, env["GARAGE_STACK_CONSUL_TOKEN"])
	server["server"], server["bootstrap_expect"] = true, 1
	server["connect"] = map[string]any{"enabled": true}
	server["performance"] = map[string]any{"raft_multiplier": 1}
	server["ui_config"] = map[string]any{"enabled": true}
	spec, err := s.agent("server", server, "127.0.0.1", programs["consul"])
	if err != nil {
		return nil, err
	}
	if err := s.run(ctx, spec); err != nil {
		return nil, err
	}
	if c.ACL {
		// A server that leads may not have made the operator's token yet.
		err := poll(ctx, func() error { return allowReading(ctx, s.consulAddress("127.0.0.1"), env["GARAGE_STACK_CONSUL_TOKEN"]) })
		if err != nil {
			return nil, err
		}
	}
	var specs []process.Spec
	for _, a := range c.Agents {
		client := c.config(s, a.Name, a, env["GARAGE_STACK_CONSUL_TOKEN"])
		client["retry_join"] = []string{fmt.Sprintf("127.0.0.1:%d", portConsulSerf+s.offset)}
		client["retry_interval"] = "1s"
		client["ui_config"] = map[string]any{"enabled": true}
		spec, err := s.agent(a.Name, client, a.Address, programs["consul"])
		if err != nil {
			return nil, err
		}
		specs = append(specs, spec)
	}
	return env, s.run(ctx, specs...)
}

func (s *Stack) consulAddress(host string) string {
	return fmt.Sprintf("%s:%d", host, portConsulHTTP+s.offset)
}

// config is what servers and clients have in common.
func (c Consul) config(s *Stack, name string, a Agent, token string) map[string]any {
	config := map[string]any{
		"node_name": name, "datacenter": "dc1", "data_dir": filepath.Join(s.data, "consul-"+name, "data"),
		"bind_addr": a.Address, "client_addr": a.Address, "advertise_addr": a.Address,
		// A port of -1 is closed.
		"ports": map[string]any{
			"http": portConsulHTTP + s.offset, "grpc": portConsulGRPC + s.offset, "server": portConsulServer + s.offset,
			"serf_lan": portConsulSerf + s.offset, "serf_wan": -1, "dns": -1, "https": -1, "grpc_tls": -1,
		},
		"node_meta":               a.Meta,
		"disable_update_check":    true,
		"log_level":               "INFO",
		"enable_script_checks":    false,
		"leave_on_terminate":      false, // An agent that stops is a machine that is down, not one that was given back.
		"skip_leave_on_interrupt": true,
		"limits":                  map[string]any{"http_max_conns_per_client": 1000}, // All clients have one address here.
	}
	if c.ACL {
		tokens := map[string]any{"agent": token}
		if name == "server" {
			tokens["initial_management"] = token
		}
		config["acl"] = map[string]any{"enabled": true, "default_policy": "deny", "enable_token_persistence": true, "tokens": tokens}
	}
	return config
}

// agent configures an agent of Consul.
func (s *Stack) agent(machine string, config map[string]any, host, program string) (process.Spec, error) {
	name := "consul-" + machine
	dir := filepath.Join(s.data, name)
	path := filepath.Join(dir, "config.json")
	if err := s.configureJSON(name, path, config); err != nil {
		return process.Spec{}, err
	}
	ready := process.Ready{Kind: "consul-client", Address: s.consulAddress(host), Name: machine}
	if machine == "server" {
		ready.Kind = "consul-server"
	}
	return process.Spec{
		Name: name, Args: []string{program, "agent", "-config-file=" + path}, Dir: dir, Env: cleanConsul,
		Log: filepath.Join(s.data, "logs", name+".log"), Grace: 10 * time.Second, Ready: ready,
	}, nil
}

// cleanConsul keeps the caller's own Consul and Nomad out of what is started.
var cleanConsul = []string{
	"CONSUL_HTTP_ADDR=", "CONSUL_HTTP_TOKEN=", "CONSUL_HTTP_SSL=", "CONSUL_NAMESPACE=", "NOMAD_ADDR=", "NOMAD_TOKEN=", "NOMAD_NAMESPACE=",
	"CHECKPOINT_DISABLE=1",
}

func (s *Stack) configureJSON(process, path string, config any) error {
	text, err := json.MarshalIndent(config, "", "\t")
	if err != nil {
		return err
	}
	return s.configure(process, path, text)
}

// secret returns a random secret of the stack, a UUID, which is made when it is first asked for.
func (s *Stack) secret(name string) (string, error) {
	path := filepath.Join(s.data, "secrets", name)
	text, err := os.ReadFile(path)
	if err == nil {
		return string(text), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	id, err := uuid.NewRandomFromReader(rand.Reader)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	return id.String(), replace(path, []byte(id.String()), 0o600)
}
