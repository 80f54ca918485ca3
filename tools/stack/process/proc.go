package process

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// identity tells a process from every other that has or had the same id.
type identity struct {
	// Boot is the id of the machine's start.
	Boot string
	// Start is when the process started, in clock ticks since the boot.
	Start string
}

// identify reads the identity of a process.
func identify(pid int) (identity, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return identity{}, err
	}
	_, start, err := stat(pid)
	return identity{Boot: strings.TrimSpace(string(boot)), Start: start}, err
}

// stat reads the state and the start time of a process.
func stat(pid int) (state, start string, err error) {
	return statFile(fmt.Sprintf("/proc/%d/stat", pid))
}

func statFile(path string) (state, start string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	// The name of the program stands in brackets and may hold anything.
	end := strings.LastIndexByte(string(text), ')')
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 20 {
		return "", "", fmt.Errorf("%s: unexpected %q", path, text)
	}
	return fields[0], fields[19], nil
}

// AwaitStopped returns when every thread of a process stands still after SIGSTOP: one that runs while the signal comes may still answer.
// An error says that it has ended, or that it runs on for longer than within.
func AwaitStopped(pid int, within time.Duration) error {
	for deadline := time.Now().Add(within); ; time.Sleep(time.Millisecond) {
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return fmt.Errorf("pause process %d: %w", pid, err)
		}
		running := slices.ContainsFunc(threads, func(thread os.DirEntry) bool {
			state, _, err := statFile(fmt.Sprintf("/proc/%d/task/%s/stat", pid, thread.Name()))
			return err != nil || state != "T" && state != "t"
		})
		if !running && len(threads) > 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d still runs %v after it was paused", pid, within)
		}
	}
}

// handle holds on to a process: a signal through it never reaches another process that got the same id.
type handle struct {
	process  *os.Process
	identity identity
}

// open returns a handle of the process that has the id now.
func open(pid int) (handle, error) {
	process, err := os.FindProcess(pid)
	if err != nil {
		return handle{}, err
	}
	// Read after the handle was opened, so that both are of one process, or the handle is of one that has ended.
	identity, err := identify(pid)
	if err != nil {
		return handle{}, errors.Join(err, process.Release())
	}
	return handle{process, identity}, nil
}

// handleID is what a handle holds, as a key.
type handleID struct {
	pid      int
	identity identity
}

func (h handle) id() handleID { return handleID{h.process.Pid, h.identity} }

// close gives the handle back. Release fails only for what is released already.
func (h handle) close() { _ = h.process.Release() }

// running says whether the process has not ended. It reaps it if it was a child of ours that has.
func (h handle) running() bool {
	pid := h.process.Pid
	state, start, err := stat(pid)
	if err != nil || start != h.identity.Start {
		return false
	}
	if state != "Z" && state != "X" {
		return true
	}
	// The first thread of a process may have ended while others still hold its ports.
	if threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)); err == nil && len(threads) > 1 {
		return true
	}
	// Not our child, or reaped by somebody else: both leave nothing to do.
	_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	return false
}

// signal sends a signal; a process that has ended needs none.
func (h handle) signal(sig syscall.Signal) error {
	if err := h.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %v to process %d: %w", sig, h.process.Pid, err)
	}
	return nil
}
