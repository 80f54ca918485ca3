package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOnlyProcessesOfTheRunAreEnded(t *testing.T) {
	start := func(id string) *exec.Cmd {
		cmd := exec.Command("sleep", "600")
		cmd.Env = append(os.Environ(), runEnv+"="+id)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		require.NoError(t, cmd.Start())
		return cmd
	}
	ours, other := start("this-run"), start("this-run-not")
	defer func() {
		require.NoError(t, other.Process.Kill())
		require.Error(t, other.Wait())
	}()
	var log strings.Builder
	require.NoError(t, endLeftovers("this-run", &log))
	require.ErrorContains(t, ours.Wait(), "killed")
	require.Contains(t, log.String(), "sleep")
	require.NoError(t, other.Process.Signal(syscall.Signal(0)), "a process of another run goes on")
}
