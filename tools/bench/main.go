package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/sigv4"
)

// options are the flags.
type options struct {
	targets, endpoints, rows []string
	clients                  []int
	duration                 time.Duration
	rounds, listKeys         int
	chunks, chunkSize        int
	dir                      string
	idle, signed, wan, heal  bool
}

func main() {
	var o options
	pflag.StringSliceVar(&o.targets, "target", []string{deploy.Standalone}, "what to start and measure: standalone, nodes, cluster, the first two with -nosync, none")
	pflag.StringArrayVar(&o.endpoints, "endpoint", nil, "another endpoint to measure in turns: NAME=URL,ACCESS,SECRET[,REGION[,PID+PID]]")
	pflag.StringSliceVar(&o.rows, "row", nil, "rows to measure: a name or the beginning of names; all when empty")
	pflag.IntSliceVar(&o.clients, "clients", []int{1, 8, 64}, "numbers of clients")
	pflag.DurationVar(&o.duration, "duration", 3*time.Second, "time of one cell, shared by its rounds")
	pflag.IntVar(&o.rounds, "rounds", 2, "turns in which each cell of each target is measured")
	pflag.IntVar(&o.listKeys, "list-keys", 100_000, "keys that are listed")
	pflag.StringVar(&o.dir, "dir", "", "folder for the data, on the disk to measure; default var/bench")
	pflag.BoolVar(&o.signed, "signed", false, "sign the hash of each body, instead of UNSIGNED-PAYLOAD")
	pflag.BoolVar(&o.idle, "idle", true, "say what memory the targets take before any load")
	pflag.BoolVar(&o.wan, "wan", false, "measure nothing but what distance costs, in round trips; as root")
	pflag.BoolVar(&o.heal, "heal", false, "measure nothing but what changes of the layout, a scrub and a repair cost; as root")
	pflag.IntVar(&o.chunks, "chunks", 0, "measure nothing but what so many chunks cost a chunk-node: memory, and the time to start; as root")
	pflag.IntVar(&o.chunkSize, "chunk-size", 1024, "bytes of each of these chunks")
	pflag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if o.dir == "" {
		root, err := deploy.Root()
		if err != nil {
			return err
		}
		o.dir = filepath.Join(root, "var", "bench")
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "run-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.wan {
		return measureWAN(ctx, dir)
	}
	if o.heal {
		return measureHealing(ctx, dir)
	}
	if o.chunks > 0 {
		return measureChunks(ctx, dir, o.chunks, max(o.chunkSize, 8))
	}
	chosen, err := choose(rows(o.listKeys), o.rows)
	if err != nil {
		return err
	}
	var envs []*env
	defer func() {
		for _, e := range envs {
			err = errors.Join(err, e.close())
		}
	}()
	for _, name := range o.targets {
		if name == "none" {
			continue
		}
		t, err := startGarage(ctx, name, dir)
		if err != nil {
			return err
		}
		envs = append(envs, &env{target: t, stored: map[string]int{}})
	}
	for _, text := range o.endpoints {
		t, err := otherEndpoint(ctx, text)
		if err != nil {
			return err
		}
		envs = append(envs, &env{target: t, stored: map[string]int{}})
	}
	fmt.Printf("%d cores; bodies differ and do not compress; payloads %s; signatures in headers; no TLS; multipart in parts of %d MiB; CPU is of the servers alone\n",
		runtime.NumCPU(), map[bool]string{false: sigv4.Unsigned, true: "hashed and signed"}[o.signed], partSize/mib)
	for _, e := range envs {
		e.signed = o.signed
	}
	if o.idle {
		for _, e := range envs {
			u, err := e.usage()
			if err != nil {
				return err
			}
			if len(e.processes) > 0 {
				fmt.Printf("%s: %d processes, %d MB resident before any load", e.name, len(e.processes), u.Resident/1_000_000)
				for _, p := range e.processes {
					u, err := p.Usage()
					if err != nil {
						return err
					}
					fmt.Printf(", %s %d", p.Name, u.Resident/1_000_000)
				}
				fmt.Println()
			}
		}
	}
	fmt.Print(header())
	for _, r := range chosen {
		if err := measureRow(ctx, o, r, envs); err != nil {
			return err
		}
	}
	return nil
}

// measureRow measures one row on all targets in turns, for each number of clients.
func measureRow(ctx context.Context, o options, r row, envs []*env) error {
	for _, e := range envs {
		if r.prepare != nil {
			if err := r.prepare(e, r.objects); err != nil {
				return fmt.Errorf("prepare %s on %s: %w", r.name, e.name, err)
			}
		}
	}
	for _, n := range o.clients {
		limit := max(1, r.limit/int64(o.rounds))
		n = min(n, int(limit)) // A row of few operations cannot keep more clients busy: the table says how many there were.
		cells := make([]*cell, len(envs))
		for round := range o.rounds {
			for i, e := range envs {
				if round == 0 {
					cells[i] = &cell{target: e.name, row: r.name, way: e.way(r.size), clients: n, size: r.size}
				}
				if err := measure(ctx, e, r, cells[i], o.duration/time.Duration(o.rounds), limit); err != nil {
					return err
				}
			}
		}
		for _, c := range cells {
			fmt.Print(c)
		}
	}
	return nil
}

func choose(all []row, names []string) ([]row, error) {
	if len(names) == 0 {
		return all, nil
	}
	var chosen []row
	for _, name := range names {
		found := false
		for _, r := range all {
			if strings.HasPrefix(r.name, name) {
				chosen, found = append(chosen, r), true
			}
		}
		if !found {
			return nil, fmt.Errorf("no row begins with %q", name)
		}
	}
	return chosen, nil
}
