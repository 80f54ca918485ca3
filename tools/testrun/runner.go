package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type runner struct {
	root, logs string
	out        io.Writer
	begin      time.Time
}

// oneByOne is a writer that several may write to at the same time.
type oneByOne struct {
	mu sync.Mutex
	to io.Writer
}

func (o *oneByOne) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.to.Write(p)
}

// result is what became of a part.
type result struct {
	name string
	took time.Duration
	counts
	err      error
	failures []string // each failed test, in words
	log      string
}

// all runs the parts in two lanes, once the programs are built: those that need real parts of the stack, which mostly wait
// for them, beside the others, each in their order. The lane that is done first helps the other from its end. A part that
// fails does not keep the others from running.
func (r runner) all(ctx context.Context, chosen []part) []result {
	results := make([]result, len(chosen))
	var alone, stacked queue
	installed := make(chan struct{})
	installs := slices.ContainsFunc(chosen, func(p part) bool { return p.name == installPart })
	if !installs {
		close(installed)
	}
	var begun atomic.Int32
	run := func(i int) {
		p := chosen[i]
		results[i] = r.told(ctx, p, fmt.Sprintf("%d/%d %s", begun.Add(1), len(chosen), p.name))
		if p.name == installPart {
			close(installed)
		}
	}
	for i, p := range chosen {
		switch {
		case p.name == "build":
			run(i)
		case p.stacked():
			stacked.parts = append(stacked.parts, i)
		default:
			alone.parts = append(alone.parts, i)
		}
	}
	lane := func(own, other *queue) {
		for i, some := own.first(); some; i, some = own.first() {
			run(i)
		}
		<-installed
		for i, some := other.last(); some; i, some = other.last() {
			run(i)
		}
	}
	var lanes sync.WaitGroup
	lanes.Go(func() { lane(&alone, &stacked) })
	lanes.Go(func() { lane(&stacked, &alone) })
	lanes.Wait()
	return results
}

// queue is the parts of a lane that have not begun, by their places.
type queue struct {
	mu    sync.Mutex
	parts []int
}

func (q *queue) first() (part int, some bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.parts) == 0 {
		return 0, false
	}
	part, q.parts = q.parts[0], q.parts[1:]
	return part, true
}

func (q *queue) last() (part int, some bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.parts) - 1
	if n < 0 {
		return 0, false
	}
	part, q.parts = q.parts[n], q.parts[:n]
	return part, true
}

// told runs a part and says how it goes.
func (r runner) told(ctx context.Context, p part, name string) result {
	r.say("%s: %s\n", name, p.about)
	res := r.part(ctx, p)
	state := "ok"
	if res.err != nil || res.failed > 0 {
		state = "FAILED"
		r.say("%s failed: %v; the end of %s:\n%s\n", name, res.err, res.log, tail(res.log, 40))
	}
	r.say("%s: %s in %v (%v)\n", name, state, res.took.Round(time.Second), res.counts)
	return res
}

// say prints one message, in one write.
func (r runner) say(format string, args ...any) {
	fmt.Fprintf(r.out, "[%s] "+format, append([]any{clock(time.Since(r.begin))}, args...)...)
}

func (r runner) part(ctx context.Context, p part) (res result) {
	res.name, res.log = p.name, filepath.Join(r.logs, p.name+".log")
	start := time.Now()
	defer func() {
		res.took = time.Since(start)
		if res.passed+res.failed+res.skipped == 0 || res.err != nil && res.failed == 0 {
			res.failed++ // It did not run, or did not end: that is a failure, never silence.
		}
	}()
	log, err := os.Create(res.log)
	if err != nil {
		res.err = err
		return res
	}
	defer func() { res.err = errors.Join(res.err, log.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	// What a part that is cut off leaves behind is ended and removed.
	id := fmt.Sprintf("%s-%d-%d", p.name, os.Getpid(), start.UnixNano())
	temporary := filepath.Join(r.logs, "tmp-"+p.name)
	if res.err = errors.Join(os.RemoveAll(temporary), os.MkdirAll(temporary, 0o755)); res.err != nil {
		return res
	}
	defer func() {
		res.err = errors.Join(res.err, endLeftovers(id, log), unmountBelow(temporary, log), os.RemoveAll(temporary))
	}()
	for _, s := range p.steps {
		fmt.Fprintf(log, "$ (%s) %s %s\n", s.dir, strings.Join(s.env, " "), strings.Join(s.argv, " "))
		counted, failures, err := r.step(ctx, p.name, s, []string{runEnv + "=" + id, "TMPDIR=" + temporary}, log)
		res.add(counted)
		res.failures = append(res.failures, failures...)
		if ctx.Err() != nil {
			err = fmt.Errorf("the time limit of %v: %w", p.limit, ctx.Err())
		}
		if err != nil {
			res.err = errors.Join(res.err, fmt.Errorf("%s: %w", strings.Join(s.argv, " "), err))
		}
	}
	return res
}

func (r runner) step(ctx context.Context, name string, s step, env []string, log io.Writer) (counts, []string, error) {
	before, err := r.fingerprint(s)
	if err != nil {
		return counts{}, nil, err
	}
	if s.every {
		packages, err := r.packages(ctx, s)
		if err != nil {
			return counts{}, nil, err
		}
		s.argv = append(slices.Clone(s.argv), packages...)
	}
	cmd := exec.CommandContext(ctx, s.argv[0], s.argv[1:]...)
	cmd.Dir = filepath.Join(r.root, s.dir)
	cmd.Env = append(append(os.Environ(), "GARAGE_TEST_BIN="+filepath.Join(r.root, "var", "test", "bin")), append(env, s.env...)...)
	// A group of its own, so that the limit ends the whole tree of processes.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	if !s.tests {
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Run(); err != nil {
			return counts{failed: 1}, nil, err
		}
		after, err := r.fingerprint(s)
		if err == nil && after != before {
			err = fmt.Errorf("the files in %s have changed: run the command and commit what it makes", s.unchanged)
		}
		if err != nil {
			return counts{failed: 1}, nil, err
		}
		return counts{passed: 1}, nil, nil
	}
	cmd.Stderr = log
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return counts{}, nil, err
	}
	if err := cmd.Start(); err != nil {
		return counts{}, nil, err
	}
	counter := newCounter(log, func(line string) {
		r.say("%s: %s\n", name, line)
	})
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		counter.event(lines.Bytes())
	}
	return counter.counts, counter.failures, errors.Join(lines.Err(), cmd.Wait())
}

// packages lists the packages of the step's module, without those it excepts.
func (r runner) packages(ctx context.Context, s step) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "./...")
	cmd.Dir = filepath.Join(r.root, s.dir)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages of %s: %w", s.dir, err)
	}
	return slices.DeleteFunc(strings.Fields(string(out)), func(name string) bool {
		return slices.ContainsFunc(s.except, func(end string) bool { return strings.HasSuffix(name, end) })
	}), nil
}

// fingerprint hashes the files that the step must leave as they were.
func (r runner) fingerprint(s step) (string, error) {
	if s.unchanged == "" {
		return "", nil
	}
	h := sha256.New()
	err := filepath.WalkDir(filepath.Join(r.root, s.unchanged), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(text), text)
		return err
	})
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// tailWidth is how much is shown of a long line, in bytes.
const tailWidth = 300

func tail(path string, lines int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	all = all[max(0, len(all)-lines):]
	for i, line := range all {
		all[i] = line[:min(len(line), tailWidth)]
	}
	return strings.Join(all, "\n")
}

func clock(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}
