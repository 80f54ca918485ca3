//go:build stack

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stack builds the program and returns its path and a folder for temporary files, in which nothing may stay.
func stack(t *testing.T) (program, temporary string) {
	program, temporary = filepath.Join(t.TempDir(), "stack"), t.TempDir()
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program, temporary
}

func running(t *testing.T, mark string) bool {
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	for _, path := range environs {
		environ, err := os.ReadFile(path)
		if err == nil && bytes.Contains(environ, []byte(mark)) {
			return true
		}
	}
	return false
}

func TestRunGivesTheCommandItsStackAndRemovesIt(t *testing.T) {
	program, temporary := stack(t)
	cmd := exec.Command(program, "run", "ldap", "--", "/bin/sh", "-c",
		`cat; ldapwhoami -x -H "$GARAGE_STACK_LDAP" -D "$GARAGE_STACK_LDAP_ADMIN_DN" -w "$GARAGE_STACK_LDAP_ADMIN_PASSWORD"; exit 7`)
	cmd.Env = append(os.Environ(), "TMPDIR="+temporary)
	cmd.Stdin = strings.NewReader("from standard input\n")
	var progress bytes.Buffer
	cmd.Stderr = &progress
	out, err := cmd.Output()
	require.Equal(t, 7, cmd.ProcessState.ExitCode(), "%v\n%s", err, &progress)
	require.Contains(t, string(out), "from standard input\ndn:cn=admin")
	left, err := os.ReadDir(temporary)
	require.NoError(t, err)
	require.Len(t, left, 1, "the logs are kept when the command fails")
	require.Contains(t, left[0].Name(), "garage-stack-logs-")
	require.False(t, running(t, temporary))
}

func TestRunEndsWhenItIsTold(t *testing.T) {
	program, temporary := stack(t)
	cmd := exec.Command(program, "run", "ldap", "--", "/bin/sh", "-c", `echo up; exec sleep 1000`)
	cmd.Env = append(os.Environ(), "TMPDIR="+temporary)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line := make([]byte, 3)
	_, err = out.Read(line)
	require.NoError(t, err)
	require.True(t, running(t, temporary))
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		require.Error(t, err)
	case <-time.After(time.Minute):
		require.NoError(t, cmd.Process.Kill())
		t.Fatal("it goes on")
	}
	require.False(t, running(t, temporary))
}

func TestStatusTellsWhatIsNotReady(t *testing.T) {
	program, temporary := stack(t)
	out, err := exec.Command(program, "--data", temporary, "status").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "nothing was started")
}

func TestAMistakeInTheCommandLineSaysWhatThereIs(t *testing.T) {
	for args, want := range map[string]string{
		"":                         "say what to do",
		"start":                    "choose up, down",
		"up mysql":                 `"mysql"`,
		"run ldap":                 "belongs to run",
		"up ldap -- true":          "belongs to run",
		"run --offset 5 -- true":   "neither --data nor --offset",
		"up ldap --cql-nodes some": "invalid argument",
	} {
		var out bytes.Buffer
		require.ErrorContains(t, run(t.Context(), strings.Fields(args), &out, &out), want, args)
	}
}
