package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"deuxfleurs.fr/garage/tools/deploy"
)

func main() {
	list := pflag.BoolP("list", "l", false, "name the parts and end")
	quick := pflag.Bool("quick", false, "only the parts that need no network and no other program")
	pflag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	names := pflag.Args()
	if len(names) == 0 {
		names = strings.Fields(os.Getenv("PART")) // make puts its variables into the environment.
	}
	switch err := run(ctx, names, *list, *quick); {
	case errors.Is(err, errFailed):
		os.Exit(1) // The closing line has said it, and stays the last one.
	case err != nil:
		fmt.Fprintln(os.Stderr, "testrun:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string, list, quick bool) error {
	root, err := deploy.Root()
	if err != nil {
		return err
	}
	all := parts()
	if list {
		for _, p := range all {
			fmt.Printf("%-20s %s (at most %v)\n", p.name, p.about, p.limit)
		}
		return nil
	}
	chosen, err := choose(all, names, quick)
	if err != nil {
		return err
	}
	logs := filepath.Join(root, "var", "test")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return err
	}
	r := runner{root: root, logs: logs, out: &oneByOne{to: os.Stdout}, begin: time.Now()}
	summary, err := os.Create(filepath.Join(logs, "summary"))
	if err != nil {
		return err
	}
	results := r.all(ctx, chosen)
	return errors.Join(report(io.MultiWriter(os.Stdout, summary), results, time.Since(r.begin)), summary.Close())
}
