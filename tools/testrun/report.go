package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// errFailed says that a test failed, which was printed where it did.
var errFailed = errors.New("some tests failed")

// report prints the table and the closing line. Its error says that something failed.
func report(out io.Writer, results []result, took time.Duration) error {
	var sum counts
	var failed error
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-20s %8s %8s %8s %8s\n", "part", "time", "passed", "failed", "skipped")
	for _, r := range results {
		state := ""
		if r.failed > 0 || r.err != nil {
			state = "  FAILED, see " + r.log
			failed = errFailed
		}
		fmt.Fprintf(&b, "%-20s %8s %8d %8d %8d%s\n", r.name, clock(r.took), r.passed, r.failed, r.skipped, state)
		sum.add(r.counts)
	}
	fmt.Fprintf(&b, "%-20s %8s\n\n", "all", clock(took))
	// Where only the end of the output is kept, it must say what failed.
	for _, r := range results {
		for _, failure := range r.failures {
			fmt.Fprintf(&b, "%s: %s\n", r.name, failure)
		}
		if r.err != nil {
			fmt.Fprintf(&b, "%s: %v\n", r.name, r.err)
		}
	}
	fmt.Fprintf(&b, "%v\n", sum)
	if _, err := io.WriteString(out, b.String()); err != nil {
		return err
	}
	return failed
}
