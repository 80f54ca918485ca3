package parts

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"deuxfleurs.fr/garage/tools/install"
	"deuxfleurs.fr/garage/tools/stack/process"
)

// Nomad is a server on 127.0.0.1, "nomad-server", and a client for each machine, "nomad-" and the machine's name, which uses the agent
// of Consul on the machine's address.
type Nomad struct {
	Clients []Client
}

// Client is a machine that runs jobs, with raw_exec. Its meta is the machine's, and "address".
type Client struct {
	Agent
	// Volumes are the host volumes by name: absolute folders, which are made.
	Volumes map[string]string
	// Meta is added to the machine's.
	Meta map[string]string
}

// Clients makes clients of machines, without volumes.
func Clients(agents []Agent) []Client {
	var all []Client
	for _, a := range agents {
		all = append(all, Client{Agent: a})
	}
	return all
}

// Ports of Nomad before the offset. Every agent has the same on an address of its own, but for the tasks' ports.
const (
	portNomadHTTP = 4646
	portNomadRPC  = 4647
	portNomadSerf = 4648
	portTasks     = 20000
	tasksPorts    = 200 // for each client
)

// Name is "nomad".
func (Nomad) Name() string { return "nomad" }

func (Nomad) needs() []string { return []string{"consul"} }

func (Nomad) install(ctx context.Context, s *Stack, i install.Installer) (map[string]string, error) {
	return s.build(ctx, i, "nomad", "github.com/hashicorp/nomad", "ui")
}

func (n Nomad) start(ctx context.Context, s *Stack, programs map[string]string) (map[string]string, error) {
	consul, err := s.Env()
	if err != nil {
		return nil, err
	}
	token := consul["GARAGE_STACK_CONSUL_TOKEN"]
	server := n.config(s, "server", "127.0.0.1", "127.0.0.1", token)
	server["server"] = map[string]any{"enabled": true, "bootstrap_expect": 1, "raft_multiplier": 1}
	spec, err := s.nomadAgent("server", server, "127.0.0.1", programs["nomad"])
	if err != nil {
		return nil, err
	}
	if err := s.run(ctx, spec); err != nil {
		return nil, err
	}
	var specs []process.Spec
	for k, c := range n.Clients {
		config := n.config(s, c.Name, c.Address, c.Address, token)
		if config["client"], err = c.config(s, portTasks+s.offset+k*tasksPorts); err != nil {
			return nil, err
		}
		config["plugin"] = map[string]any{"raw_exec": map[string]any{"config": map[string]any{"enabled": true}}}
		spec, err := s.nomadAgent(c.Name, config, c.Address, programs["nomad"])
		if err != nil {
			return nil, err
		}
		specs = append(specs, spec)
	}
	return map[string]string{"GARAGE_STACK_NOMAD": "http://" + s.nomadAddress("127.0.0.1")}, s.run(ctx, specs...)
}

func (s *Stack) nomadAddress(host string) string {
	return fmt.Sprintf("%s:%d", host, portNomadHTTP+s.offset)
}

// config is what servers and clients have in common.
func (Nomad) config(s *Stack, name, host, consul, token string) map[string]any {
	at := func(port int) string { return fmt.Sprintf("%s:%d", host, port+s.offset) }
	return map[string]any{
		"name": name, "datacenter": "dc1", "data_dir": filepath.Join(s.data, "nomad-"+name, "data"), "bind_addr": host,
		"ports": map[string]any{"http": portNomadHTTP + s.offset, "rpc": portNomadRPC + s.offset, "serf": portNomadSerf + s.offset},
		// By itself Nomad advertises no address of loopback.
		"advertise":                   map[string]any{"http": at(portNomadHTTP), "rpc": at(portNomadRPC), "serf": at(portNomadSerf)},
		"consul":                      map[string]any{"address": s.consulAddress(consul), "token": token},
		"disable_update_check":        true,
		"disable_anonymous_signature": true,
		"leave_on_interrupt":          false,
		"leave_on_terminate":          false,
		"limits":                      map[string]any{"http_max_conns_per_client": 1000, "rpc_max_conns_per_client": 1000},
		"log_level":                   "INFO",
	}
}

// config is the client's own part of the configuration.
func (c Client) config(s *Stack, ports int) (map[string]any, error) {
	volumes := map[string]any{}
	for name, path := range c.Volumes {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return nil, err
		}
		volumes[name] = map[string]any{"path": path, "read_only": false}
	}
	meta := map[string]string{"address": c.Address}
	maps.Copy(meta, c.Agent.Meta)
	maps.Copy(meta, c.Meta)
	return map[string]any{
		"enabled": true, "servers": []string{fmt.Sprintf("127.0.0.1:%d", portNomadRPC+s.offset)}, "network_interface": "lo",
		"meta": meta, "host_volume": volumes,
		// All clients share the ports of one machine.
		"min_dynamic_port": ports, "max_dynamic_port": ports + tasksPorts - 1,
		// Asking clouds for what machine this is takes seconds where there is none, and other drivers look for what is not installed.
		"options": map[string]any{"fingerprint.denylist": "env_aws,env_gce,env_azure,env_digitalocean", "driver.allowlist": "raw_exec"},
		// A chunk-node asks for leave before it stops, and may have to wait.
		"max_kill_timeout":         "15m",
		"gc_interval":              "1m",
		"gc_disk_usage_threshold":  99,
		"gc_inode_usage_threshold": 99,
	}, nil
}

// nomadAgent configures an agent of Nomad.
func (s *Stack) nomadAgent(machine string, config map[string]any, host, program string) (process.Spec, error) {
	name := "nomad-" + machine
	dir := filepath.Join(s.data, name)
	path := filepath.Join(dir, "config.json")
	if err := s.configureJSON(name, path, config); err != nil {
		return process.Spec{}, err
	}
	ready := process.Ready{Kind: "nomad-client", Address: s.nomadAddress(host), Name: machine}
	if machine == "server" {
		ready.Kind = "nomad-server"
	}
	return process.Spec{
		Name: name, Args: []string{program, "agent", "-config=" + path}, Dir: dir, Env: cleanConsul,
		Log: filepath.Join(s.data, "logs", name+".log"), Grace: 10 * time.Second, Ready: ready,
	}, nil
}
