package parts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"deuxfleurs.fr/garage/tools/install"
	"deuxfleurs.fr/garage/tools/repo"
	"deuxfleurs.fr/garage/tools/stack/process"
)

// Options say where a stack is.
type Options struct {
	// Data takes configurations, data, logs and records; empty means var/stack in the repository.
	Data string
	// Offset is added to every port. A data folder keeps the offset that it was first used with; 0 means that one.
	Offset int
	// Progress is told what is done and how long it took; nil means nobody.
	Progress io.Writer
}

// Stack is a data folder and the parts that run on it.
type Stack struct {
	data     string
	offset   int
	root     string
	progress io.Writer
	group    *process.Group

	publishing sync.Mutex
}

// Part is something that a stack runs.
type Part interface {
	// Name is the part's name on the command line.
	Name() string
	// needs names the parts that must be ready first.
	needs() []string
	// install installs what is missing and returns the paths of the programs by name.
	install(ctx context.Context, s *Stack, i install.Installer) (map[string]string, error)
	// start starts what does not run, returns when it is ready, and says what goes into the environment.
	start(ctx context.Context, s *Stack, programs map[string]string) (map[string]string, error)
}

// Open returns the stack of a data folder, which need not exist.
func Open(o Options) (*Stack, error) {
	root, err := repo.Root()
	if err != nil {
		return nil, err
	}
	if o.Data == "" {
		o.Data = filepath.Join(root, "var", "stack")
	}
	data, err := filepath.Abs(o.Data)
	if err != nil {
		return nil, err
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, err
	}
	group, err := process.Open(filepath.Join(data, "processes"))
	if err != nil {
		return nil, err
	}
	s := &Stack{data: data, offset: o.Offset, root: root, progress: o.Progress, group: group}
	st, err := s.load()
	if err != nil {
		return nil, err
	}
	if o.Offset != 0 && o.Offset != st.Offset {
		return nil, fmt.Errorf("%s has ports moved by %d, not %d: use that offset, or another folder", data, st.Offset, o.Offset)
	}
	s.offset = st.Offset
	return s, nil
}

// Data is the absolute path of the data folder.
func (s *Stack) Data() string { return s.data }

// Install installs what the parts need and starts nothing.
func (s *Stack) Install(ctx context.Context, parts ...Part) error {
	for _, p := range parts {
		if _, err := p.install(ctx, s, install.Installer{Progress: s.progress}); err != nil {
			return fmt.Errorf("install %s: %w", p.Name(), err)
		}
	}
	return nil
}

// Program installs a part that is one program, starts nothing, and returns the program's path.
func (s *Stack) Program(ctx context.Context, p Part) (string, error) {
	programs, err := p.install(ctx, s, install.Installer{Progress: s.progress})
	if err != nil {
		return "", fmt.Errorf("install %s: %w", p.Name(), err)
	}
	path, ok := programs[p.Name()]
	if !ok {
		return "", fmt.Errorf("%s is not one program of that name", p.Name())
	}
	return path, nil
}

// Up installs and starts the parts, side by side where none needs the other, and returns when all are ready. What runs already
// stays as it is. Each part that is ready is written to the environment file at once. Parts that other parts need must be named too
// or run already.
func (s *Stack) Up(ctx context.Context, parts ...Part) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	programs := make([]map[string]string, len(parts))
	for n, p := range parts {
		if programs[n], err = p.install(ctx, s, install.Installer{Progress: s.progress}); err != nil {
			return fmt.Errorf("install %s: %w", p.Name(), err)
		}
	}
	ready := map[string]chan struct{}{}
	for _, p := range parts {
		ready[p.Name()] = make(chan struct{})
	}
	group, ctx := errgroup.WithContext(ctx)
	for n, p := range parts {
		group.Go(func() error {
			for _, need := range p.needs() {
				if c, ok := ready[need]; ok {
					select {
					case <-c:
					case <-ctx.Done():
						return ctx.Err()
					}
				}
			}
			begin := time.Now()
			env, err := p.start(ctx, s, programs[n])
			if err != nil {
				return fmt.Errorf("start %s: %w", p.Name(), err)
			}
			if err := s.publish(p.Name(), programs[n], env); err != nil {
				return err
			}
			fmt.Fprintf(s.progress, "%s: ready after %v\n", p.Name(), time.Since(begin).Round(100*time.Millisecond))
			close(ready[p.Name()])
			return nil
		})
	}
	return group.Wait()
}

// order is the order in which parts end: who uses another goes first.
var order = []string{"traefik", "nomad", "ldap", "cassandra", "consul", "chromium"}

// Down stops the parts of those names, or all, and whatever their processes have started. The data stays.
func (s *Stack) Down(ctx context.Context, names ...string) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	all, err := s.group.All()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range order {
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		var mine []*process.Process
		for _, p := range all {
			if PartOf(p.Name) == name {
				mine = append(mine, p)
			}
		}
		if len(mine) > 0 {
			begin := time.Now()
			errs = append(errs, s.group.End(ctx, mine...), s.unmount(mine...))
			fmt.Fprintf(s.progress, "%s: stopped in %v\n", name, time.Since(begin).Round(100*time.Millisecond))
		}
		errs = append(errs, s.withdraw(name))
	}
	return errors.Join(errs...)
}

// Destroy kills everything that was started, and removes the data folder.
func (s *Stack) Destroy(ctx context.Context) error {
	all, err := s.group.All()
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range all {
		errs = append(errs, p.KillAll(ctx))
	}
	errs = append(errs, s.unmount(all...))
	if err := errors.Join(errs...); err != nil {
		return err // The records are needed to try again.
	}
	return os.RemoveAll(s.data)
}

// State is what a process is at.
type State struct {
	*process.Process
	// Err says why it is not ready; nil if it is.
	Err error
}

// Status asks every process that was started how it is.
func (s *Stack) Status(ctx context.Context) ([]State, error) {
	all, err := s.group.All()
	if err != nil {
		return nil, err
	}
	states := make([]State, len(all))
	var group errgroup.Group
	for n, p := range all {
		states[n].Process = p
		group.Go(func() error {
			states[n].Err = errors.New("does not run")
			if p.Alive() {
				states[n].Err = probe(ctx, p.Ready)
			}
			return nil
		})
	}
	return states, group.Wait()
}

// Process returns a process by its name, as "cassandra-2", whether it runs or not.
func (s *Stack) Process(name string) (*process.Process, error) { return s.group.Process(name) }

// Restart starts a process again that has ended, and returns when it is ready.
func (s *Stack) Restart(ctx context.Context, name string) error {
	p, err := s.group.Process(name)
	if err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	return s.wait(ctx, p)
}

// run starts the processes that do not run and returns when all are ready.
func (s *Stack) run(ctx context.Context, specs ...process.Spec) error {
	var started []*process.Process
	for _, spec := range specs {
		if old, err := s.group.Process(spec.Name); err != nil || !old.Alive() {
			if err := free(spec.Ready.Address); err != nil {
				return fmt.Errorf("%s: %w", spec.Name, err)
			}
		}
		p, err := s.group.Run(spec)
		if err != nil {
			return err
		}
		started = append(started, p)
	}
	return s.wait(ctx, started...)
}

// free makes sure that nobody listens on the address, who would answer in place of what is about to be started.
func free(address string) error {
	if err := process.Unused(address); err != nil {
		return fmt.Errorf("%w: stop what has this address, or move the ports by an offset in a new data folder", err)
	}
	return nil
}

// patience is how long a process may take to be ready, on a slow machine with much else to do.
const patience = 6 * time.Minute

// wait returns when all processes are ready.
func (s *Stack) wait(ctx context.Context, processes ...*process.Process) error {
	for _, p := range processes {
		ended := fmt.Errorf("%s has ended", p.Name)
		err := poll(ctx, func() error {
			err := probe(ctx, p.Ready)
			if err != nil && !p.Alive() {
				return final{ended}
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("%s does not get ready: %w; the end of %s:\n%s", p.Name, err, p.Log, p.Tail(30))
		}
	}
	return nil
}

// final is an error that trying again cannot mend.
type final struct{ error }

// poll tries until it works, and no longer than that may take.
func poll(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := try()
		var end final
		if err == nil || errors.As(err, &end) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (last: %w)", ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
