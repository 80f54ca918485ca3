package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// killed is how long the kernel may take to end a process that was killed, or to stop one that is paused.
const killed = 10 * time.Second

// Process is a process of a group, running or not.
type Process struct {
	record
	group *Group
}

// Start starts a process that has ended again, as it was started before. It does not wait for it to be ready.
func (p *Process) Start() error {
	if p.Alive() {
		return fmt.Errorf("%s already runs as %d", p.Name, p.PID)
	}
	return p.start()
}

func (p *Process) start() error {
	if err := os.MkdirAll(filepath.Dir(p.Log), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.Args[0], p.Args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.Dir, log, log
	cmd.Env = append(append(os.Environ(), p.Env...), p.group.marked(p.Name))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.PID = cmd.Process.Pid
	if p.Started, err = identify(p.PID); err == nil {
		err = p.group.write(p.record)
	}
	if err != nil {
		// Without a record nobody could end it later.
		return errors.Join(fmt.Errorf("record %s: %w", p.Name, err), cmd.Process.Kill(), ignoreExit(cmd.Wait()))
	}
	return cmd.Process.Release()
}

func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// Alive says whether the process runs (a paused one does, a zombie does not).
func (p *Process) Alive() bool {
	h, ok := p.handle()
	if ok {
		h.close()
	}
	return ok
}

// handle returns a handle of the process if it still is the one that was started, and runs.
func (p *Process) handle() (handle, bool) {
	if p.PID == 0 {
		return handle{}, false
	}
	h, err := open(p.PID)
	if err != nil {
		return handle{}, false
	}
	if h.identity != p.Started || !h.running() {
		h.close()
		return handle{}, false
	}
	return h, true
}

// Stop asks the process to end and, when its grace is over, kills it. It returns when the process is gone.
func (p *Process) Stop(ctx context.Context) error {
	// A paused process cannot hear.
	if err := errors.Join(p.signal(syscall.SIGTERM), p.signal(syscall.SIGCONT)); err != nil {
		return err
	}
	switch gone, err := p.gone(ctx, p.Grace); {
	case err != nil:
		return err
	case gone:
		return nil
	}
	return p.Kill(ctx)
}

// Kill ends the process with SIGKILL and returns when it is gone. What it had started stays, as in a crash of the process alone.
func (p *Process) Kill(ctx context.Context) error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	gone, err := p.gone(ctx, killed)
	if err == nil && !gone {
		err = fmt.Errorf("%s (%d) still runs %v after it was killed", p.Name, p.PID, killed)
	}
	return err
}

// KillAll ends the process and all that it has started with SIGKILL, as when a machine loses its power.
func (p *Process) KillAll(ctx context.Context) error {
	if err := p.Kill(ctx); err != nil {
		return err
	}
	return p.group.endMarked(ctx, p.Name, 0)
}

// Pause freezes the process: its connections stay open and nothing answers when it returns.
func (p *Process) Pause() error {
	h, ok := p.handle()
	if !ok {
		return nil
	}
	defer h.close()
	if err := h.signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	if err := AwaitStopped(p.PID, killed); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	return nil
}

// Resume lets a paused process go on.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

// signal sends a signal to the process if it runs.
func (p *Process) signal(sig syscall.Signal) error {
	h, ok := p.handle()
	if !ok {
		return nil
	}
	defer h.close()
	if err := h.signal(sig); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	return nil
}

func (p *Process) gone(ctx context.Context, within time.Duration) (bool, error) {
	for deadline := time.Now().Add(within); p.Alive(); {
		if time.Now().After(deadline) {
			return false, nil
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return false, fmt.Errorf("waiting for %s (%d) to end: %w", p.Name, p.PID, err)
		}
	}
	return true, nil
}

// Tail returns the last lines of the log.
func (p *Process) Tail(lines int) string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
