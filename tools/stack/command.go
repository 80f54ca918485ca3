package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"deuxfleurs.fr/garage/tools/stack/parts"
)

const usage = `usage: stack up|down|status|install [part…]
       stack run [part…] -- command [argument…]

up       install and start the parts (all if none is named) and what they need; what runs stays as it is
down     stop the parts (all if none is named), and keep their data
status   ask what was started how it is; the exit status is 0 if everything is ready
install  install the parts and start nothing
run      start the parts on free ports with new data, run the command with their addresses in its environment, and remove them

parts: %s
`

// command is a command line.
type command struct {
	verb  string
	named []string
	// argv is what stands after "--".
	argv []string

	options         parts.Options
	cqlNodes, nodes int
	zones           int
	cqlSecure, acl  bool
}

func parse(args []string, progress io.Writer) (command, error) {
	c := command{options: parts.Options{Progress: progress}}
	flags := pflag.NewFlagSet("stack", pflag.ContinueOnError)
	flags.SetOutput(progress)
	flags.StringVar(&c.options.Data, "data", "", "folder for data, logs and the file env (default var/stack in the repository)")
	flags.IntVar(&c.options.Offset, "offset", 0, "what to add to every port, so that several stacks run side by side")
	flags.IntVar(&c.cqlNodes, "cql-nodes", 0, "nodes of Cassandra, 1 to 3 (default as many as there is data of, or 1)")
	flags.BoolVar(&c.cqlSecure, "cql-secure", false, "Cassandra asks for TLS and a password")
	flags.IntVar(&c.nodes, "nodes", 1, "agents of Consul and clients of Nomad, beside the server of each")
	flags.IntVar(&c.zones, "zones", 3, "zones that those are spread over")
	flags.BoolVar(&c.acl, "acl", false, "Consul denies what no token allows")
	flags.Usage = func() {
		var names []string
		for _, p := range c.parts() {
			names = append(names, p.Name())
		}
		fmt.Fprintf(progress, usage, strings.Join(names, " "))
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	words := flags.Args()
	if dash := flags.ArgsLenAtDash(); dash >= 0 {
		words, c.argv = words[:dash], words[dash:]
	}
	if len(words) == 0 {
		flags.Usage()
		return c, errors.New("say what to do: up, down, status, install or run")
	}
	c.verb, c.named = words[0], words[1:]
	if (c.verb == "run") != (len(c.argv) > 0) {
		return c, errors.New(`a command after "--" belongs to run, and only to run`)
	}
	return c, nil
}

// parts are all there are.
func (c command) parts() []parts.Part {
	agents := parts.Agents(c.nodes, c.zones)
	return []parts.Part{
		parts.Cassandra{Nodes: c.cqlNodes, Secure: c.cqlSecure, Quick: c.verb == "run"}, parts.Consul{Agents: agents, ACL: c.acl}, parts.LDAP{}, parts.Traefik{},
		parts.Nomad{Clients: parts.Clients(agents)}, parts.Chromium{},
	}
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	c, err := parse(args, progress)
	if errors.Is(err, pflag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	verbs := []string{"up", "down", "status", "install", "run"}
	if !slices.Contains(verbs, c.verb) {
		return fmt.Errorf("no command is called %q: choose %s", c.verb, strings.Join(verbs, ", "))
	}
	chosen, err := parts.Choose(c.parts(), c.named)
	if err != nil {
		return err
	}
	if c.verb == "run" {
		return c.run(ctx, chosen)
	}
	s, err := parts.Open(c.options)
	if err != nil {
		return err
	}
	switch c.verb {
	case "up":
		return s.Up(ctx, chosen...)
	case "down":
		return s.Down(ctx, c.named...)
	case "install":
		return s.Install(ctx, chosen...)
	default:
		return status(ctx, s, c.named, out)
	}
}

// status prints a line a process. Its error says that not all is ready.
func status(ctx context.Context, s *parts.Stack, named []string, out io.Writer) error {
	states, err := s.Status(ctx)
	if err != nil {
		return err
	}
	bad, shown := 0, 0
	for _, st := range states {
		if len(named) > 0 && !slices.Contains(named, parts.PartOf(st.Name)) {
			continue
		}
		shown++
		what := "ready"
		if st.Err != nil {
			bad++
			what = st.Err.Error()
		}
		fmt.Fprintf(out, "%-20s %8d  %-22s %s\n", st.Name, st.PID, st.Ready.Address, what)
	}
	if shown == 0 {
		return fmt.Errorf("nothing was started in %s", s.Data())
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d are not ready", bad, shown)
	}
	return nil
}
