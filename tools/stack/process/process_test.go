package process

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func newGroup(t *testing.T) *Group {
	g, err := Open(filepath.Join(t.TempDir(), "processes"))
	require.NoError(t, err)
	t.Cleanup(func() {
		all, err := g.All()
		require.NoError(t, err)
		for _, p := range all {
			require.NoError(t, p.KillAll(context.Background()))
		}
	})
	return g
}

// shell is a process that runs a script in a folder of its own.
func shell(t *testing.T, name, script string) Spec {
	dir := t.TempDir()
	return Spec{
		Name: name, Args: []string{"/bin/sh", "-c", script}, Dir: dir, Log: filepath.Join(dir, "log"), Grace: 200 * time.Millisecond,
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 10*time.Second, 5*time.Millisecond, what)
}

func waitFile(t *testing.T, s Spec, name string) string {
	t.Helper()
	var text []byte
	eventually(t, name, func() bool {
		text, _ = os.ReadFile(filepath.Join(s.Dir, name))
		return strings.HasSuffix(string(text), "\n")
	})
	return strings.TrimSpace(string(text))
}

func TestAProcessThatRunsIsNotStartedAgain(t *testing.T) {
	g := newGroup(t)
	s := shell(t, "one", "exec sleep 1000")
	first, err := g.Run(s)
	require.NoError(t, err)
	again, err := g.Run(s)
	require.NoError(t, err)
	require.Equal(t, first.PID, again.PID)

	s.Args = append(s.Args, "other")
	_, err = g.Run(s)
	require.ErrorContains(t, err, "with other settings")
}

func TestAnotherProgramFindsTheProcessByName(t *testing.T) {
	g := newGroup(t)
	s := shell(t, "one", "exec sleep 1000")
	p, err := g.Run(s)
	require.NoError(t, err)

	other, err := Open(g.dir)
	require.NoError(t, err)
	found, err := other.Process("one")
	require.NoError(t, err)
	require.True(t, found.Alive())
	require.NoError(t, found.Stop(t.Context()))
	require.False(t, p.Alive())

	require.NoError(t, found.Start())
	require.NotEqual(t, p.PID, found.PID)
	p, err = g.Process("one")
	require.NoError(t, err)
	require.True(t, p.Alive())

	_, err = g.Process("two")
	require.ErrorContains(t, err, `"one"`)
}

func TestWhatDoesNotEndWithinItsGraceIsKilled(t *testing.T) {
	g := newGroup(t)
	s := shell(t, "deaf", `trap "" TERM; echo yes > ready; while :; do sleep 0.05; done`)
	p, err := g.Run(s)
	require.NoError(t, err)
	waitFile(t, s, "ready")
	require.NoError(t, p.Stop(t.Context()))
	require.False(t, p.Alive())
}

func TestAPausedProcessCanBeStopped(t *testing.T) {
	g := newGroup(t)
	s := shell(t, "paused", `trap "echo bye > said; exit" TERM; echo yes > ready; while :; do sleep 0.05; done`)
	s.Grace = 10 * time.Second
	p, err := g.Run(s)
	require.NoError(t, err)
	waitFile(t, s, "ready")
	require.NoError(t, p.Pause())
	require.True(t, p.Alive())
	require.NoError(t, p.Stop(t.Context()))
	require.Equal(t, "bye", waitFile(t, s, "said"))
}

func TestAwaitStoppedTellsWhatRunsFromWhatStandsStill(t *testing.T) {
	g := newGroup(t)
	p, err := g.Run(shell(t, "runs", "exec sleep 1000"))
	require.NoError(t, err)
	require.ErrorContains(t, AwaitStopped(p.PID, 10*time.Millisecond), "still runs")
	require.NoError(t, p.Pause())
	require.NoError(t, AwaitStopped(p.PID, 0))
	require.NoError(t, p.Kill(t.Context()))
	require.Error(t, AwaitStopped(p.PID, 0))
}

func TestAnotherProcessWithTheSameIDIsLeftAlone(t *testing.T) {
	g := newGroup(t)
	s := shell(t, "old", "exec sleep 1000")
	old, err := g.Run(s)
	require.NoError(t, err)
	require.NoError(t, old.Kill(t.Context()))

	stranger := exec.Command("sleep", "1000")
	require.NoError(t, stranger.Start())
	defer func() { _, _ = stranger.Process.Kill(), stranger.Wait() }()
	r := old.record
	r.PID = stranger.Process.Pid
	// An id is not used again within the hundredth of a second that a start is known by, as here.
	r.Started.Start += "0"
	require.NoError(t, g.write(r))

	p, err := g.Process("old")
	require.NoError(t, err)
	require.False(t, p.Alive())
	require.NoError(t, p.Stop(t.Context()))
	require.NoError(t, p.Kill(t.Context()))
	require.NoError(t, g.End(t.Context(), p))
	state, _, err := stat(stranger.Process.Pid)
	require.NoError(t, err)
	require.NotEqual(t, "Z", state, "the stranger was killed")
}

func TestEndAlsoEndsWhatTheProcessLeftBehind(t *testing.T) {
	g := newGroup(t)
	// In a session of its own, and no child of anybody any more, as a task of Nomad whose agent was killed.
	s := shell(t, "parent", `(setsid sh -c 'trap "" TERM; echo $$ > child; while :; do sleep 0.05; done' &) ; exec sleep 1000`)
	other, err := g.Run(shell(t, "other", "exec sleep 1000"))
	require.NoError(t, err)
	p, err := g.Run(s)
	require.NoError(t, err)
	pid, err := strconv.Atoi(waitFile(t, s, "child"))
	require.NoError(t, err)
	require.NoError(t, p.Kill(t.Context()))
	state, _, err := stat(pid)
	require.NoError(t, err)
	require.NotEqual(t, "Z", state, "killing the process alone leaves what it has started")

	require.NoError(t, g.End(t.Context(), p))
	eventually(t, "the child has ended", func() bool {
		state, _, err := stat(pid)
		return err != nil || state == "Z"
	})
	require.True(t, other.Alive(), "the other process is none of its business")
	all, err := g.All()
	require.NoError(t, err)
	require.Len(t, all, 1)
}

func TestTheRecordIsOnlyForItsOwner(t *testing.T) {
	g := newGroup(t)
	s := shell(t, "secret", "exec sleep 1000")
	s.Env = []string{"TOKEN=secret"}
	_, err := g.Run(s)
	require.NoError(t, err)
	info, err := os.Stat(g.path("secret"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	text, err := os.ReadFile(g.path("secret"))
	require.NoError(t, err)
	require.True(t, json.Valid(text))
}
