package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
)

// status CODE COMMAND… runs a command that must end with that exit status.
func status(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if err != nil {
		exit := (*exec.ExitError)(nil)
		if !errors.As(err, &exit) {
			ts.Fatalf("%v: %v", args[1:], err)
		}
		code = exit.ExitCode()
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("%v ended with %d, not with %s", args[1:], code, args[0])
	}
}

// watch TIMES PATTERN COMMAND… runs a command until so many of its lines have had the pattern, interrupts it, and expects
// that it then ends well.
func watch(ts *testscript.TestScript, _ bool, args []string) {
	times, err := strconv.Atoi(args[0])
	ts.Check(err)
	pattern := regexp.MustCompile(args[1])
	program, err := lookPath(ts, args[2])
	ts.Check(err)
	cmd := exec.Command(program, args[3:]...)
	cmd.Env = append(os.Environ(), "GARAGE_ADMIN="+ts.Getenv("GARAGE_ADMIN"), "GARAGE_DATA="+ts.Getenv("GARAGE_DATA"))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	patience := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer patience.Stop()
	seen := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if pattern.MatchString(lines.Text()) {
			if seen++; seen == times {
				ts.Check(cmd.Process.Signal(os.Interrupt))
			}
		}
	}
	if err := cmd.Wait(); err != nil || seen < times {
		ts.Fatalf("%v wrote the pattern %d times and ended with: %v", args[2:], seen, err)
	}
}

func lookPath(ts *testscript.TestScript, name string) (string, error) {
	folder, _, _ := strings.Cut(ts.Getenv("PATH"), string(os.PathListSeparator))
	return exec.LookPath(folder + "/" + name)
}

func TestAFrameReplacesTheOneBefore(t *testing.T) {
	require.Equal(t, "\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[J", frame("one\ntwo\n", 0))
	require.Equal(t, "\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[J", frame("one\ntwo\n", 3))
	require.Equal(t, "\x1b[H1\x1b[K\n2\x1b[K\n… 3 more lines\x1b[K\n\x1b[J", frame("1\n2\n3\n4\n5\n", 4), "what does not fit is said, and nothing scrolls")
}
