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

up       install and start the parts (all if none is named) and what they need; what runs stays as it is
down     stop the parts (all if none is named), and keep their data
status   ask what was started how it is; the exit status is 0 if everything is ready
install  install the parts and start nothing

parts: %s

`

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	flags := pflag.NewFlagSet("stack", pflag.ContinueOnError)
	flags.SetOutput(progress)
	data := flags.String("data", "", "folder for data, logs and the file env (default var/stack in the repository)")
	offset := flags.Int("offset", 0, "what to add to every port, so that several stacks run side by side")
	cqlNodes := flags.Int("cql-nodes", 0, "nodes of Cassandra, 1 to 3 (default as many as there is data of, or 1)")
	nodes := flags.Int("nodes", 1, "agents of Consul and clients of Nomad, beside the server of each")
	zones := flags.Int("zones", 3, "zones that those are spread over")
	acl := flags.Bool("acl", false, "Consul denies what no token allows")
	all := func() []parts.Part {
		agents := parts.Agents(*nodes, *zones)
		return []parts.Part{
			parts.Cassandra{Nodes: *cqlNodes}, parts.Consul{Agents: agents, ACL: *acl}, parts.Nomad{Clients: parts.Clients(agents)},
		}
	}
	flags.Usage = func() {
		fmt.Fprintf(progress, usage, strings.Join(names(all()), " "))
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); errors.Is(err, pflag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if flags.NArg() == 0 {
		flags.Usage()
		return errors.New("say what to do: up, down, status or install")
	}
	verb, named := flags.Arg(0), flags.Args()[1:]
	chosen, err := parts.Choose(all(), named)
	if err != nil {
		return err
	}
	s, err := parts.Open(parts.Options{Data: *data, Offset: *offset, Progress: progress})
	if err != nil {
		return err
	}
	switch verb {
	case "up":
		return s.Up(ctx, chosen...)
	case "down":
		return s.Down(ctx, named...)
	case "install":
		return s.Install(ctx, chosen...)
	case "status":
		return status(ctx, s, named, out)
	}
	return fmt.Errorf("no command is called %q: choose up, down, status or install", verb)
}

func names(all []parts.Part) []string {
	var names []string
	for _, p := range all {
		names = append(names, p.Name())
	}
	return names
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
