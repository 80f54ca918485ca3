package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"deuxfleurs.fr/garage/tools/stack/parts"
)

// run starts the parts on free ports in a new folder, runs the command, and takes everything away again, also when it is told to
// stop. What the parts said stays in the logs if the command fails.
func (c command) run(ctx context.Context, chosen []parts.Part) (err error) {
	if c.options.Data != "" || c.options.Offset != 0 {
		return errors.New("run has data and ports of its own: it takes neither --data nor --offset")
	}
	if c.options.Offset, err = parts.FreeOffset(); err != nil {
		return err
	}
	if c.options.Data, err = os.MkdirTemp("", "garage-stack-"); err != nil {
		return err
	}
	s, err := parts.Open(c.options)
	if err != nil {
		return errors.Join(err, os.RemoveAll(c.options.Data))
	}
	defer func() {
		// The end has a time of its own: the command's may be over.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, s.Destroy(ctx))
	}()
	if err := s.Up(ctx, chosen...); err != nil {
		return err
	}
	env, err := s.Env()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = os.Stdin, os.Stdout, os.Stderr, os.Environ()
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", c.argv[0], err), keepLogs(c.options.Data))
	}
	return nil
}

// keepLogs moves the logs of the parts out of a folder that is about to be removed.
func keepLogs(data string) error {
	kept, err := os.MkdirTemp("", "garage-stack-logs-")
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "stack: the logs of the parts are in", kept)
	return os.CopyFS(kept, os.DirFS(filepath.Join(data, "logs")))
}
