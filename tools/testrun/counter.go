package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// counts counts tests.
type counts struct{ passed, failed, skipped int }

func (c *counts) add(other counts) {
	c.passed += other.passed
	c.failed += other.failed
	c.skipped += other.skipped
}

func (c counts) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", c.passed, c.failed, c.skipped)
}

// counter reads the events of "go test -json".
type counter struct {
	counts
	log io.Writer
	say func(string)
	// output is what each running test has printed.
	output map[string]*strings.Builder
	// failedTests counts the failed tests of a package, to tell a package that failed without any.
	failedTests map[string]int
	// failures is what was said of each failure, for the end of the report.
	failures []string
}

func newCounter(log io.Writer, say func(string)) *counter {
	return &counter{log: log, say: say, output: map[string]*strings.Builder{}, failedTests: map[string]int{}}
}

// reason is how the testing package prints what was given to Skip.
var reason = regexp.MustCompile(`(?m)^\s+\S+\.go:\d+: \S`)

func (c *counter) event(line []byte) {
	var e struct {
		Action, Package, Test, Output, ImportPath string
		Elapsed                                   float64
	}
	if err := json.Unmarshal(line, &e); err != nil {
		_, _ = fmt.Fprintf(c.log, "%s\n", line) // The log is a file; a full disk shows elsewhere.
		return
	}
	id := e.Package + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		_, _ = io.WriteString(c.log, e.Output)
		if e.Test != "" {
			if c.output[id] == nil {
				c.output[id] = &strings.Builder{}
			}
			c.output[id].WriteString(e.Output)
		}
		return
	case "pass":
		if e.Test != "" {
			c.passed++
		}
	case "fail":
		switch {
		case e.Test != "":
			c.failed++
			c.failedTests[e.Package]++
			c.fail("FAILED " + e.Test + " of " + e.Package + c.words(id))
		case c.failedTests[e.Package] == 0:
			c.failed++
			c.fail("FAILED " + e.Package)
		}
	case "skip":
		if e.Test == "" {
			break // A package without tests.
		}
		if out := c.output[id]; out == nil || !reason.MatchString(out.String()) {
			c.failed++
			c.failedTests[e.Package]++
			c.fail("SKIPPED WITHOUT A REASON, which counts as failed: " + e.Test + " of " + e.Package)
			break
		}
		c.skipped++
	default:
		return
	}
	delete(c.output, id)
}

// stated is where an assertion says why it failed.
var stated = regexp.MustCompile(`(?m)^\s+Error:\s`)

// wordsLength bounds the words of a failure in the report, in bytes.
const wordsLength = 600

// words are why a test failed, as an assertion said it, or else the last that the test said: the logs of servers often follow, and hide it.
func (c *counter) words(id string) string {
	out := c.output[id]
	if out == nil {
		return ""
	}
	text := out.String()
	if at := stated.FindStringIndex(text); at != nil {
		text = text[at[0]:]
		text = text[:min(len(text), wordsLength)]
	} else {
		text = text[max(0, len(text)-wordsLength):]
	}
	return "\n" + strings.Trim(text, "\n")
}

// fail says a failure now, and again at the end.
func (c *counter) fail(what string) {
	c.failures = append(c.failures, what)
	c.say(what)
}
