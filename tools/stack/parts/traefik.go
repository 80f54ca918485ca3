package parts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"deuxfleurs.fr/garage/tools/install"
	"deuxfleurs.fr/garage/tools/stack/process"
)

// Traefik routes HTTP and HTTPS on 127.0.0.1, "traefik", to what services in Consul ask for by their tags. The job in nomad/ is how
// Traefik runs with Garage; this one is for what needs no Nomad.
type Traefik struct{}

// Ports of Traefik before the offset.
const (
	portTraefikHTTP  = 8080
	portTraefikHTTPS = 8443
	portTraefikPing  = 8082
)

// Name is "traefik".
func (Traefik) Name() string { return "traefik" }

func (Traefik) needs() []string { return []string{"consul"} }

func (Traefik) install(ctx context.Context, s *Stack, i install.Installer) (map[string]string, error) {
	return s.build(ctx, i, "traefik", "github.com/traefik/traefik/v3/cmd/traefik", "")
}

func (Traefik) start(ctx context.Context, s *Stack, programs map[string]string) (map[string]string, error) {
	consul, err := s.Env()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.data, "traefik")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	at := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port+s.offset) }
	args := []string{
		programs["traefik"], "--entryPoints.s3.address=" + at(portTraefikHTTP), "--entryPoints.s3s.address=" + at(portTraefikHTTPS),
		"--entryPoints.ping.address=" + at(portTraefikPing), "--ping=true", "--ping.entryPoint=ping",
		"--providers.consulCatalog.endpoint.address=" + s.consulAddress("127.0.0.1"),
		"--providers.consulCatalog.endpoint.token=" + consul["GARAGE_STACK_CONSUL_TOKEN"],
		"--providers.consulCatalog.exposedByDefault=false", "--providers.consulCatalog.watch=true",
		"--providers.providersThrottleDuration=200ms",
		"--global.checkNewVersion=false", "--global.sendAnonymousUsage=false",
	}
	for _, entryPoint := range []string{"s3", "s3s"} {
		// A path is part of what a client of S3 signs, and a body may take hours.
		args = append(args, "--entryPoints."+entryPoint+".http.sanitizePath=false", "--entryPoints."+entryPoint+".transport.respondingTimeouts.readTimeout=0")
	}
	env := map[string]string{"GARAGE_STACK_TRAEFIK": "http://" + at(portTraefikHTTP), "GARAGE_STACK_TRAEFIK_TLS": "https://" + at(portTraefikHTTPS)}
	return env, s.run(ctx, process.Spec{
		Name: "traefik", Args: args, Dir: dir, Log: filepath.Join(s.data, "logs", "traefik.log"), Grace: 10 * time.Second,
		Ready: process.Ready{Kind: "traefik", Address: at(portTraefikPing)},
	})
}
