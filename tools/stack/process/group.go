package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// mark is the variable by which a process of a group, and what it starts, can be told from all others.
const mark = "GARAGE_STACK_PROCESS"

// Group is the processes of one data folder.
type Group struct{ dir string }

// Open returns the group whose records are in the folder, which is made if need be. The path must be absolute.
func Open(dir string) (*Group, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("the folder of a group of processes must be absolute: %q is not", dir)
	}
	return &Group{dir: dir}, os.MkdirAll(dir, 0o700)
}

// Run starts the process unless it runs already. It does not wait for it to be ready.
func (g *Group) Run(s Spec) (*Process, error) {
	p := &Process{group: g, record: record{Spec: s}}
	switch old, err := g.read(s.Name); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case (&Process{group: g, record: old}).Alive():
		if !old.equal(s) {
			return nil, fmt.Errorf("%s already runs (%d) with other settings: stop it first", s.Name, old.PID)
		}
		return &Process{group: g, record: old}, nil
	}
	return p, p.start()
}

// Process returns the process of that name, whether it runs or not.
func (g *Group) Process(name string) (*Process, error) {
	r, err := g.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		all, _ := g.All()
		names := make([]string, len(all))
		for i, p := range all {
			names[i] = p.Name
		}
		return nil, fmt.Errorf("no process is called %q: there are %q in %s", name, names, g.dir)
	}
	if err != nil {
		return nil, err
	}
	return &Process{group: g, record: r}, nil
}

// All returns every process that was started and not forgotten, by name.
func (g *Group) All() ([]*Process, error) {
	files, err := filepath.Glob(filepath.Join(g.dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var all []*Process
	for _, file := range files {
		r, err := g.read(strings.TrimSuffix(filepath.Base(file), ".json"))
		if err != nil {
			return nil, err
		}
		all = append(all, &Process{group: g, record: r})
	}
	return all, nil
}

// End stops the processes, side by side, and whatever they have started and left, and forgets them.
func (g *Group) End(ctx context.Context, processes ...*Process) error {
	results := make(chan error, len(processes))
	for _, p := range processes {
		go func() { results <- p.Stop(ctx) }()
	}
	var errs []error
	for range processes {
		errs = append(errs, <-results)
	}
	for _, p := range processes {
		errs = append(errs, g.endMarked(ctx, p.Name, p.Grace))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, p := range processes {
		if err := os.Remove(g.path(p.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (g *Group) marked(name string) string { return mark + "=" + g.path(name) }

// endMarked ends what the process of that name started and left behind: it asks, and kills what is there after the grace.
func (g *Group) endMarked(ctx context.Context, name string, grace time.Duration) error {
	deadline := time.Now().Add(grace)
	asked := map[handleID]bool{}
	for {
		left, err := g.descendants(name)
		if err != nil || len(left) == 0 {
			return err
		}
		late := !time.Now().Before(deadline)
		for _, h := range left {
			switch {
			case late:
				err = errors.Join(err, h.signal(syscall.SIGKILL))
			case !asked[h.id()]:
				// Once: some programs end at once, without cleaning up, when they are asked again.
				asked[h.id()] = true
				err = errors.Join(err, h.signal(syscall.SIGTERM), h.signal(syscall.SIGCONT))
			}
			h.close()
		}
		if err != nil {
			return err
		}
		if time.Now().After(deadline.Add(killed)) {
			return fmt.Errorf("%s: %d processes that it started still run after they were killed", name, len(left))
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// descendants finds the running processes that the process of that name has started, itself among them if it runs.
func (g *Group) descendants(name string) ([]handle, error) {
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil, err
	}
	want := []byte("\x00" + g.marked(name) + "\x00")
	var found []handle
	for _, path := range environs {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		h, err := open(pid)
		if err != nil {
			continue // It has ended meanwhile.
		}
		// Read after the handle was opened: what is read is of the process that the handle holds, or of none.
		environ, err := os.ReadFile(path)
		if err == nil && bytes.Contains(append([]byte{0}, environ...), want) && h.running() {
			found = append(found, h)
			continue
		}
		h.close()
	}
	return found, nil
}
