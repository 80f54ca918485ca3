package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"deuxfleurs.fr/garage/tools/s3client"
)

const (
	// Keyspace holds the metadata.
	Keyspace = "garage"

	envFile = "env"
)

// Endpoint is S3 through Traefik, as the person in the file env.
func (c *Cluster) Endpoint() (s3client.Endpoint, error) {
	p, err := c.person()
	return s3client.Endpoint{URL: "http://" + c.Address(), Region: Region, AccessKey: p.accessKey, SecretKey: p.secret}, err
}

// Token is what administrators present.
func (c *Cluster) Token() (string, error) { return c.secret("admin.token") }

// writeEnv writes how clients and tools reach the cluster.
func (c *Cluster) writeEnv(context.Context) error {
	stack, err := c.stack.Env()
	if err != nil {
		return err
	}
	endpoint, err := c.Endpoint()
	if err != nil {
		return err
	}
	token, err := c.Token()
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, v := range [][2]string{
		{"CONSUL_HTTP_ADDR", stack["GARAGE_STACK_CONSUL"]},
		// Reading needs none; it is the operator's.
		{"CONSUL_HTTP_TOKEN", stack["GARAGE_STACK_CONSUL_TOKEN"]},
		{"NOMAD_ADDR", stack["GARAGE_STACK_NOMAD"]},
		{"GARAGE_ADMIN", c.Admin()},
		{"GARAGE_ADMIN_TOKEN", token},
		{"CQL_HOSTS", stack["GARAGE_STACK_CQL"]},
		{"CQL_KEYSPACE", Keyspace},
		{"LDAP_URL", stack["GARAGE_STACK_LDAP"]},
		{"AWS_ENDPOINT_URL", endpoint.URL},
		{"AWS_REGION", Region},
		{"AWS_DEFAULT_REGION", Region},
		{"AWS_ACCESS_KEY_ID", endpoint.AccessKey},
		{"AWS_SECRET_ACCESS_KEY", endpoint.SecretKey},
	} {
		fmt.Fprintf(&b, "export %s='%s'\n", v[0], strings.ReplaceAll(v[1], "'", `'\''`))
	}
	path := filepath.Join(c.o.Data, envFile)
	if err := os.WriteFile(path+".new", []byte(b.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Wait returns when S3 answers a signed request through Traefik.
func (c *Cluster) Wait(ctx context.Context) error {
	endpoint, err := c.Endpoint()
	if err != nil {
		return err
	}
	client := s3client.New(endpoint, 1)
	defer client.HTTP.CloseIdleConnections()
	return poll(ctx, 2*time.Minute, "S3 through Traefik", client.Ready)
}

// poll tries until it succeeds.
func poll(ctx context.Context, within time.Duration, what string, try func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := try(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer from %s: %w (last: %w)", what, ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
