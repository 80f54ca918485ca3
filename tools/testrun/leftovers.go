package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// runEnv marks every process that a run starts, so that a part that was cut off leaves none behind.
const runEnv = "GARAGE_TESTRUN_ID"

// endLeftovers kills the processes of this run that still are there, each by its id, and says on the log which they were.
func endLeftovers(id string, log io.Writer) error {
	mark := []byte("\x00" + runEnv + "=" + id + "\x00")
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range environs {
		environ, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(append([]byte{0}, environ...), mark) {
			continue // Gone meanwhile, another user's, or not of this run.
		}
		dir := filepath.Dir(path)
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		exe, err := os.Readlink(filepath.Join(dir, "exe"))
		if err != nil {
			exe = "?"
		}
		if _, err := fmt.Fprintf(log, "left behind, now ended: %d %s\n", pid, exe); err != nil {
			errs = append(errs, err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("end %d (%s): %w", pid, exe, err))
		}
	}
	return errors.Join(errs...)
}

// unmountBelow ends what is mounted below a folder, which cannot be removed before, and says on the log what that was.
func unmountBelow(folder string, log io.Writer) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var errs []error
	// What was mounted last may lie in what was mounted before.
	for _, line := range slices.Backward(strings.Split(strings.TrimSpace(string(mounts)), "\n")) {
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.HasPrefix(fields[4], folder+"/") {
			continue
		}
		if _, err := fmt.Fprintf(log, "left behind, now unmounted: %s\n", fields[4]); err != nil {
			errs = append(errs, err)
		}
		if err := syscall.Unmount(fields[4], syscall.MNT_DETACH); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", fields[4], err))
		}
	}
	return errors.Join(errs...)
}
