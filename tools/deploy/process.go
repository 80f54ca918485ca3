package deploy

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"deuxfleurs.fr/garage/tools/stack/process"
)

// Process is one process of a deployment.
type Process struct {
	// Name is unique in its deployment: "garage", "metadata", "chunk-node-2".
	Name string
	PID  int
	// Data is the folder that the process alone writes; empty if it has none.
	Data string
	// Admin is the address of its admin listener; empty if not known.
	Admin string
	// Log is the file that takes its output.
	Log string

	args []string
	env  []string
	dir  string
	// nomad is set for a process that Nomad runs.
	nomad *onNomad
	// launch replaces [exec.Cmd.Start] for a process that is to run elsewhere than this one.
	launch func(*exec.Cmd) error
}

// NewProcess completes a process that has not been started yet: the program and its arguments, its environment and working folder, and
// what starts the command, [exec.Cmd.Start] if nil.
func NewProcess(p Process, args, env []string, dir string, launch func(*exec.Cmd) error) *Process {
	p.args, p.env, p.dir, p.launch = args, env, dir, launch
	return &p
}

// Setenv changes the environment of the process from its next start on, by NAME=value; a value that is empty is like none.
func (p *Process) Setenv(pairs ...string) { p.env = append(slices.Clone(p.env), pairs...) }

// remember keeps what is needed to start the process again exactly as it was started.
func (p *Process) remember() error {
	proc := filepath.Join("/proc", strconv.Itoa(p.PID))
	cmdline, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	if err != nil {
		return fmt.Errorf("process %s: %w", p.Name, err)
	}
	environ, err := os.ReadFile(filepath.Join(proc, "environ"))
	if err != nil {
		return fmt.Errorf("process %s: %w", p.Name, err)
	}
	split := func(b []byte) []string { return strings.Split(strings.TrimRight(string(b), "\x00"), "\x00") }
	p.args, p.env = split(cmdline), split(environ)
	if p.args[0], err = os.Readlink(filepath.Join(proc, "exe")); err != nil {
		return fmt.Errorf("process %s: %w", p.Name, err)
	}
	if p.dir, err = os.Readlink(filepath.Join(proc, "cwd")); err != nil {
		return fmt.Errorf("process %s: %w", p.Name, err)
	}
	return nil
}

// Alive says whether the process runs (a zombie does not, unless it is only its first thread: others may still hold what it had open).
func (p *Process) Alive() bool {
	if p.PID == 0 {
		return false // not started yet
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 18 {
		return false
	}
	threads, err := strconv.Atoi(fields[17])
	return err == nil && (threads > 1 || fields[0] != "Z" && fields[0] != "X")
}

// Kill ends the process at once with SIGKILL and waits until it is gone.
func (p *Process) Kill() error { return p.away(syscall.SIGKILL, 10*time.Second) }

// Stop asks the process to end with SIGTERM and waits until it is gone.
func (p *Process) Stop() error { return p.away(syscall.SIGTERM, 40*time.Second) }

// away ends the process so that it stays away until [Process.Start].
func (p *Process) away(sig syscall.Signal, within time.Duration) error {
	if p.nomad != nil {
		if err := p.nomad.freeze(); err != nil {
			return err
		}
	}
	return p.end(sig, within)
}

// Crash ends the process at once with SIGKILL. Nomad, where it runs the process, starts it again.
func (p *Process) Crash() error { return p.end(syscall.SIGKILL, 10*time.Second) }

// Pause freezes the process with SIGSTOP: its connections stay open and nothing answers when it returns.
func (p *Process) Pause() error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := process.AwaitStopped(p.PID, 10*time.Second); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	return nil
}

// Resume lets a paused process go on.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

// Start starts a process that has ended again, with the same arguments, environment and folder. It does not wait for
// the process to be ready.
func (p *Process) Start() error {
	if p.Alive() {
		return fmt.Errorf("process %s already runs as %d", p.Name, p.PID)
	}
	if p.nomad != nil {
		return p.nomad.thaw(p)
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = p.env, p.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	launch := p.launch
	if launch == nil {
		launch = (*exec.Cmd).Start
	}
	if err := launch(cmd); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.PID = cmd.Process.Pid
	// Nothing else reaps it. The goroutine ends with the process, which every deployment ends when it is closed.
	go func() { _ = cmd.Wait() }()
	return nil
}

func (p *Process) signal(sig syscall.Signal) error {
	if err := syscall.Kill(p.PID, sig); err != nil {
		return fmt.Errorf("signal %v to %s (%d): %w", sig, p.Name, p.PID, err)
	}
	return nil
}

func (p *Process) end(sig syscall.Signal, within time.Duration) error {
	if !p.Alive() {
		return nil
	}
	if err := p.signal(sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	for deadline := time.Now().Add(within); p.Alive(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s (%d) still runs %v after signal %v", p.Name, p.PID, within, sig)
		}
	}
	return nil
}

// Usage is what a process took of the machine.
type Usage struct {
	// CPU is user and system time since the process started.
	CPU time.Duration
	// Resident and Peak are bytes of resident memory now and at most since [Process.ResetPeak].
	Resident, Peak int64
}

// Usage reads what the process took until now.
func (p *Process) Usage() (Usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
	if err != nil {
		return Usage{}, fmt.Errorf("usage of %s: %w", p.Name, err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return Usage{}, fmt.Errorf("usage of %s: unexpected %q", p.Name, stat)
	}
	user, errUser := strconv.ParseInt(fields[11], 10, 64)
	system, errSystem := strconv.ParseInt(fields[12], 10, 64)
	if err := errors.Join(errUser, errSystem); err != nil {
		return Usage{}, fmt.Errorf("usage of %s: %w", p.Name, err)
	}
	// The kernel counts in hundredths of a second (USER_HZ) on every Linux that Go runs on.
	usage := Usage{CPU: time.Duration(user+system) * 10 * time.Millisecond}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		return Usage{}, fmt.Errorf("usage of %s: %w", p.Name, err)
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			continue
		}
		switch name {
		case "VmRSS":
			usage.Resident = kib << 10
		case "VmHWM":
			usage.Peak = kib << 10
		}
	}
	return usage, nil
}

// ResetPeak begins the measurement of peak memory again.
func (p *Process) ResetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.PID), []byte("5"), 0)
}
