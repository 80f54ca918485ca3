package local

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/tools/httpjson"
)

// consul is the API of Consul with the operator's token.
type consul struct{ address, token string }

// tokens makes a token in Consul for each service, with the rules of nomad/consul, and returns them by the service's name.
func (c *Cluster) tokens(ctx context.Context) (map[string]string, error) {
	env, err := c.stack.Env()
	if err != nil {
		return nil, err
	}
	api := consul{env["GARAGE_STACK_CONSUL"], env["GARAGE_STACK_CONSUL_TOKEN"]}
	all := map[string]string{}
	for _, service := range []string{"chunk-node", "metadata", "rebalancer", "s3-gateway", "traefik", "cql-repair"} {
		rules, err := os.ReadFile(filepath.Join(c.root, "nomad", "consul", service+".hcl"))
		if err != nil {
			return nil, err
		}
		if all[service], err = c.ConsulToken(service); err != nil {
			return nil, err
		}
		if err := api.allow(ctx, "garage-"+service, string(rules), all[service]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// ConsulToken is the secret of a service's token for Consul, which stays.
func (c *Cluster) ConsulToken(service string) (string, error) {
	path := filepath.Join(c.o.Data, "tokens", service)
	text, err := os.ReadFile(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return strings.TrimSpace(string(text)), err
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	return id.String(), os.WriteFile(path, []byte(id.String()+"\n"), 0o600)
}

// allow brings a policy to the rules, and makes the token that has it.
func (a consul) allow(ctx context.Context, name, rules, token string) error {
	policy := struct{ ID, Name, Rules string }{Name: name, Rules: rules}
	var known []struct{ ID, Name string }
	if err := a.call(ctx, a.token, http.MethodGet, "/v1/acl/policies", nil, &known); err != nil {
		return err
	}
	path := "/v1/acl/policy"
	for _, p := range known {
		if p.Name == name {
			policy.ID, path = p.ID, "/v1/acl/policy/"+p.ID
		}
	}
	if err := a.call(ctx, a.token, http.MethodPut, path, policy, nil); err != nil {
		return err
	}
	if a.call(ctx, token, http.MethodGet, "/v1/acl/token/self", nil, nil) == nil {
		return nil
	}
	return a.call(ctx, a.token, http.MethodPut, "/v1/acl/token", map[string]any{
		"SecretID": token, "Description": name, "Policies": []map[string]string{{"Name": name}},
	}, nil)
}

func (a consul) call(ctx context.Context, token, method, path string, question, answer any) error {
	return httpjson.Call(ctx, method, a.address+path, http.Header{"X-Consul-Token": {token}}, question, answer)
}
