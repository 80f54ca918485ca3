package nodes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// running is a process that was started; done is closed when it has ended.
type running struct {
	process *os.Process
	done    chan struct{}
	err     error // how it ended; written before done is closed
}

// start starts the process with its output going to its log.
func (p *process) start(env []string, log *slog.Logger) error {
	path, err := programPath(p.program)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close() // the process has its own
	cmd := exec.Command(path, p.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, out, out
	// In a process group of its own, so that a ^C at the terminal reaches only this program, which stops the others in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	p.PID = cmd.Process.Pid
	p.running = &running{process: cmd.Process, done: make(chan struct{})}
	go func() {
		defer close(p.running.done)
		if p.running.err = cmd.Wait(); p.running.err == nil {
			log.Info("a process has ended", "process", p.Name)
			return
		}
		log.Warn("a process has ended; the others go on", "process", p.Name, "how", p.running.err, "log", p.Log)
	}()
	return nil
}

// waitReady asks the process until it says that it can serve.
func (p *process) waitReady(ctx context.Context) error {
	for {
		err := p.ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.running.done:
			return fmt.Errorf("%s has ended before it was ready:\n%s", p.Name, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; its log is %s:\n%s", p.Name, err, p.Log, p.tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p *process) ask(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Admin+"/healthz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("its health is %s", answer.Status)
	}
	return nil
}

// tail is the end of the log, for an error.
func (p *process) tail() string {
	content, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// stop asks the process to end, and ends it when it has not done so in time.
func (p *process) stop(within time.Duration) error {
	r := p.running
	if r == nil {
		return nil
	}
	select {
	case <-r.done:
		return nil // it ended before, which was said then
	default:
	}
	if err := r.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-r.done:
		if r.err != nil {
			return fmt.Errorf("%s did not end well: %w; its log is %s", p.Name, r.err, p.Log)
		}
		return nil
	case <-timer.C:
		err := fmt.Errorf("%s did not end within %s and was killed; its log is %s", p.Name, within, p.Log)
		if killErr := r.process.Kill(); killErr != nil && !errors.Is(killErr, os.ErrProcessDone) {
			return errors.Join(err, killErr)
		}
		<-r.done
		return err
	}
}
