package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func count(lines ...string) (counts, string) {
	var log, said strings.Builder
	c := newCounter(&log, func(s string) { fmt.Fprintln(&said, s) })
	for _, l := range lines {
		c.event([]byte(l))
	}
	return c.counts, said.String()
}

func TestTestsAreCounted(t *testing.T) {
	got, _ := count(
		`{"Action":"run","Package":"p","Test":"A"}`, `{"Action":"pass","Package":"p","Test":"A"}`,
		`{"Action":"pass","Package":"p","Test":"A/sub"}`, `{"Action":"pass","Package":"p"}`,
		`{"Action":"fail","Package":"q","Test":"B"}`, `{"Action":"fail","Package":"q"}`, `{"Action":"skip","Package":"r"}`)
	require.Equal(t, counts{passed: 2, failed: 1}, got)
}

func TestAPackageThatDoesNotBuildFails(t *testing.T) {
	got, said := count(`{"ImportPath":"p","Action":"build-output","Output":"x.go:1: no\n"}`, `{"Action":"fail","Package":"p"}`)
	require.Equal(t, counts{failed: 1}, got)
	require.Contains(t, said, "FAILED p")
}

func TestASkipNeedsAReason(t *testing.T) {
	got, _ := count(`{"Action":"output","Package":"p","Test":"A","Output":"    a_test.go:7: not here because\n"}`, `{"Action":"skip","Package":"p","Test":"A"}`)
	require.Equal(t, counts{skipped: 1}, got)
	got, said := count(`{"Action":"output","Package":"p","Test":"A","Output":"--- SKIP: A\n"}`, `{"Action":"skip","Package":"p","Test":"A"}`)
	require.Equal(t, counts{failed: 1}, got)
	require.Contains(t, said, "WITHOUT A REASON")
}

func TestAFailureIsSaidInTheWordsOfTheTest(t *testing.T) {
	output := func(text string) string {
		return fmt.Sprintf(`{"Action":"output","Package":"p","Test":"A","Output":%q}`, text)
	}
	_, said := count(output("=== RUN   A\n"), output("    a_test.go:5: round 1\n"), output("    a_test.go:7: \n"), output("        \tError Trace:\ta_test.go:7\n"),
		output("        \tError:      \tthe cup is empty\n"), output("    b_test.go:9: --- log\n"+strings.Repeat("x", 5000)), `{"Action":"fail","Package":"p","Test":"A"}`)
	require.Contains(t, said, "FAILED A of p\n        \tError:      \tthe cup is empty\n")
	require.Less(t, len(said), 700)
	_, said = count(output(strings.Repeat("x", 5000)+"\n    a_test.go:5: the pot, too\n"), `{"Action":"fail","Package":"p","Test":"A"}`)
	require.Contains(t, said, "the pot, too")
	require.Less(t, len(said), 700)
}

func runParts(t *testing.T, parts ...part) (string, error) {
	t.Helper()
	var out strings.Builder
	r := runner{root: t.TempDir(), logs: t.TempDir(), out: &out, begin: time.Now()}
	err := report(&out, r.all(context.Background(), parts), time.Second)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	return lines[len(lines)-1], err
}

func TestThePartsAreRunAndTheClosingLineCounts(t *testing.T) {
	last, err := runParts(t, part{name: "good", limit: time.Minute, steps: []step{command("true"), command("true")}})
	require.NoError(t, err)
	require.Equal(t, "2 passed, 0 failed, 0 skipped", last)

	last, err = runParts(t, part{name: "good", limit: time.Minute, steps: []step{command("true")}}, part{name: "bad", limit: time.Minute, steps: []step{command("false")}})
	require.Error(t, err)
	require.Equal(t, "1 passed, 1 failed, 0 skipped", last)

	last, err = runParts(t, part{name: "nothing in it", limit: time.Minute})
	require.Error(t, err)
	require.Equal(t, "0 passed, 1 failed, 0 skipped", last)

	last, err = runParts(t, part{name: "not there", limit: time.Minute, steps: []step{command("/no/such/program")}})
	require.Error(t, err)
	require.Equal(t, "0 passed, 1 failed, 0 skipped", last)
}

func TestAPartEndsAtItsLimit(t *testing.T) {
	last, err := runParts(t, part{name: "long", limit: 50 * time.Millisecond, steps: []step{command("sleep", "600")}})
	require.Error(t, err)
	require.Equal(t, "0 passed, 1 failed, 0 skipped", last)
}

func TestChoosing(t *testing.T) {
	names := func(parts []part) (out []string) {
		for _, p := range parts {
			out = append(out, p.name)
		}
		return out
	}
	chosen, err := choose(parts(), []string{"s3"}, false)
	require.NoError(t, err)
	require.Equal(t, []string{"build", "s3-standalone", "s3-strict", "s3-nodes", "stack-install", "s3-cluster"}, names(chosen))
	chosen, err = choose(parts(), []string{"unit"}, false)
	require.NoError(t, err)
	require.Equal(t, []string{"unit"}, names(chosen))
	_, err = choose(parts(), []string{"nonsense"}, false)
	require.Error(t, err)
}

// touching makes a file and then waits for another one.
func touching(mine, other string, more ...string) []step {
	return []step{command(append([]string{"sh", "-c", "touch " + mine + "; until [ -e " + other + " ]; do sleep 0.01; done"}, more...)...)}
}

// Each of the two waits for a file that the other makes.
func TestPartsOnTheStackRunBesideTheOthers(t *testing.T) {
	r := runner{root: t.TempDir(), logs: t.TempDir(), out: &oneByOne{to: io.Discard}, begin: time.Now()}
	results := r.all(t.Context(), []part{
		{name: "alone", limit: time.Minute, steps: touching("a", "b")},
		{name: "stacked", limit: time.Minute, steps: touching("b", "a", "stack")},
		{name: "build", limit: time.Minute, steps: []step{command("sh", "-c", "! [ -e a ] && ! [ -e b ]")}},
	})
	for i, name := range []string{"alone", "stacked", "build"} {
		require.Equal(t, name, results[i].name)
		require.NoError(t, results[i].err, name)
		require.Equal(t, counts{passed: 1}, results[i].counts, name)
	}
}

// The first of a lane waits for the last of it, which only the other lane can run.
func TestALaneThatIsDoneHelpsTheOther(t *testing.T) {
	r := runner{root: t.TempDir(), logs: t.TempDir(), out: &oneByOne{to: io.Discard}, begin: time.Now()}
	for _, more := range [][]string{nil, {"stack"}} {
		for _, result := range r.all(t.Context(), []part{
			{name: "first", limit: time.Minute, steps: touching("a", "b", more...)},
			{name: "last", limit: time.Minute, steps: touching("b", "a", more...)},
		}) {
			require.NoError(t, result.err, result.name)
		}
	}
}
