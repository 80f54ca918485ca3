package main

import (
	"os"
	"os/exec"
	"path/filepath"
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

func TestWhatIsMountedBelowAFolderIsUnmounted(t *testing.T) {
	folder := t.TempDir()
	// Mounting is for root; everybody may do it in a namespace of their own, where this test runs itself again.
	if os.Getenv("GARAGE_TESTRUN_MOUNTS") == "" {
		cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "GARAGE_TESTRUN_MOUNTS=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	inner := filepath.Join(folder, "a", "b")
	require.NoError(t, os.MkdirAll(inner, 0o700))
	require.NoError(t, syscall.Mount("none", filepath.Dir(inner), "tmpfs", 0, ""))
	require.NoError(t, os.Mkdir(inner, 0o700))
	require.NoError(t, syscall.Mount("none", inner, "tmpfs", 0, ""))
	var log strings.Builder
	require.NoError(t, unmountBelow(folder, &log))
	require.Equal(t, 2, strings.Count(log.String(), "now unmounted"))
	require.NoError(t, os.RemoveAll(folder))
	require.NoError(t, os.Mkdir(folder, 0o700), "the test framework removes it")
}
