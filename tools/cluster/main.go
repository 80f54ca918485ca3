// Command cluster runs a whole Garage cluster on this machine, as "make cluster" and "make cluster-down" do: Nomad, Consul,
// Cassandra, LDAP and Traefik with Garage's services on them. See package local.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"deuxfleurs.fr/garage/tools/cluster/local"
)

const usage = `usage: cluster up|down [flags]

up starts what does not run yet and returns when S3 answers; down stops everything and keeps the data.

`

func main() {
	o := local.Options{Progress: os.Stderr}
	flags := pflag.NewFlagSet("cluster", pflag.ExitOnError)
	flags.StringVar(&o.Data, "data", "var/cluster", "folder of everything")
	flags.StringVar(&o.Bin, "bin", "bin", "folder of Garage's programs")
	flags.IntVar(&o.Nodes, "nodes", 3, "machines, each with a chunk-node")
	flags.IntVar(&o.Zones, "zones", 3, "zones that the machines are in")
	flags.IntVar(&o.CQLNodes, "cql-nodes", 1, "nodes of the database, 1 or 3")
	flags.IntVar(&o.Offset, "offset", 0, "what is added to every port")
	flags.StringToStringVar(&o.Env, "env", nil, "settings of all services, as GARAGE_NAME=value")
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage, flags.FlagUsages()) }
	_ = flags.Parse(os.Args[1:]) // ExitOnError
	if err := run(flags.Args(), o); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(args []string, o local.Options) error {
	// The first start may have to build all of the parts.
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	verb := ""
	if len(args) == 1 {
		verb = args[0]
	}
	switch verb {
	case "up":
		c, err := local.Open(o)
		if err != nil {
			return err
		}
		return c.Up(ctx)
	case "down":
		// What was started says what to stop.
		o.Nodes = 0
		c, err := local.Open(o)
		if err != nil {
			return err
		}
		return c.Down(ctx)
	}
	return fmt.Errorf("say up or down\n\n%s", usage)
}
