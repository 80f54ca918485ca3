// Command stack installs, starts and stops the programs that Garage runs on: Cassandra, Consul, Nomad, Traefik and slapd on loopback,
// and installs Chromium. The file env in its data folder says where each answers. Package parts does the work.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "stack:", err)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		os.Exit(exit.ExitCode()) // That of the command that was run.
	}
	os.Exit(1)
}
