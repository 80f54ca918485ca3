package parts

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"deuxfleurs.fr/garage/tools/httpjson"
	"deuxfleurs.fr/garage/tools/stack/process"
)

// probes ask a part whether it is ready, by the kind of process.
var probes = map[string]func(ctx context.Context, r process.Ready) error{
	"cql": func(ctx context.Context, r process.Ready) error {
		return askCQL(ctx, r.Address, r.CA, one, "SELECT key FROM system.local")
	},
	"consul-server": askLeader,
	"consul-client": askConsulClient,
	"nomad-server":  askNomadServer,
	"nomad-client":  askNomadClient,
	"ldap":          askLDAP,
	"traefik": func(ctx context.Context, r process.Ready) error {
		return get(ctx, "http://"+r.Address+"/ping", nil)
	},
}

// asking is how long one answer may take.
const asking = 5 * time.Second

// probe asks once.
func probe(ctx context.Context, r process.Ready) error {
	ask, ok := probes[r.Kind]
	if !ok {
		return fmt.Errorf("nobody knows how to ask a %q whether it is ready", r.Kind)
	}
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	return ask(ctx, r)
}

// get asks an HTTP API.
func get(ctx context.Context, url string, answer any) error {
	return httpjson.Call(ctx, http.MethodGet, url, nil, nil, answer)
}

// askLeader asks a server of Consul or Nomad who leads, which only a server that can be used knows.
func askLeader(ctx context.Context, r process.Ready) error {
	var leader string
	if err := get(ctx, "http://"+r.Address+"/v1/status/leader", &leader); err != nil {
		return err
	}
	if leader == "" {
		return fmt.Errorf("%s knows no leader", r.Address)
	}
	return nil
}

// askConsulClient asks an agent of a client for its own machine, which the servers know in full when the agent has joined them and
// told them all about it.
func askConsulClient(ctx context.Context, r process.Ready) error {
	var answer struct {
		Node struct{ Meta map[string]string }
	}
	if err := get(ctx, "http://"+r.Address+"/v1/catalog/node/"+r.Name, &answer); err != nil {
		return err
	}
	// The agent itself adds this one; what the servers see by gossip does not have it.
	if _, ok := answer.Node.Meta["consul-network-segment"]; !ok {
		return fmt.Errorf("the servers of Consul do not know the meta of %s", r.Name)
	}
	return nil
}

// askNomadServer asks who leads, and for the keys that the leader makes after that: a client that registers before there are any is
// refused, and tries again only after half a minute.
func askNomadServer(ctx context.Context, r process.Ready) error {
	if err := askLeader(ctx, r); err != nil {
		return err
	}
	var answer struct{ Keys []json.RawMessage }
	if err := get(ctx, "http://"+r.Address+"/.well-known/jwks.json", &answer); err != nil {
		return err
	}
	if len(answer.Keys) == 0 {
		return fmt.Errorf("%s has not made its keys", r.Address)
	}
	return nil
}

// askNomadClient asks an agent of a client whether the servers list it as ready.
func askNomadClient(ctx context.Context, r process.Ready) error {
	if err := get(ctx, "http://"+r.Address+"/v1/agent/health?type=client", nil); err != nil {
		return err
	}
	var nodes []struct{ Name, Status string }
	if err := get(ctx, "http://"+r.Address+"/v1/nodes", &nodes); err != nil {
		return err
	}
	for _, n := range nodes {
		if n.Name == r.Name && n.Status == "ready" {
			return nil
		}
	}
	return fmt.Errorf("the servers of Nomad do not list %s as ready", r.Name)
}

// askLDAP binds anonymously, the smallest request of the protocol (RFC 4511, section 4.2).
func askLDAP(ctx context.Context, r process.Ready) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", r.Address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // All that was asked for has been read.
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	// Message 1: bind, version 3, no name, simple authentication without password.
	if _, err := conn.Write([]byte{0x30, 12, 2, 1, 1, 0x60, 7, 2, 1, 3, 4, 0, 0x80, 0}); err != nil {
		return err
	}
	answer := make([]byte, 10)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	// Message 1: bind response, result code success.
	if !bytes.Equal(answer[2:5], []byte{2, 1, 1}) || answer[5] != 0x61 || !bytes.Equal(answer[7:10], []byte{10, 1, 0}) {
		return fmt.Errorf("%s answers an anonymous bind with % x", r.Address, answer)
	}
	return nil
}
