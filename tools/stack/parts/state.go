package parts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// state is what a data folder remembers between programs.
type state struct {
	Offset int
	// Env is the environment by part.
	Env map[string]map[string]string
}

// PartOf returns the part that a process belongs to: its name up to the first dash.
func PartOf(process string) string {
	part, _, _ := strings.Cut(process, "-")
	return part
}

// lock waits until no other program changes the stack.
func (s *Stack) lock(ctx context.Context) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(s.data, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil // Nothing was written to it: closing gives the lock back.
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", file.Name(), err), file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("another program changes the stack in %s: %w", s.data, ctx.Err()), file.Close())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *Stack) load() (state, error) {
	text, err := os.ReadFile(filepath.Join(s.data, "stack.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return state{Offset: s.offset, Env: map[string]map[string]string{}}, nil
	}
	if err != nil {
		return state{}, err
	}
	var st state
	if err := json.Unmarshal(text, &st); err != nil {
		return state{}, fmt.Errorf("%s: %w", filepath.Join(s.data, "stack.json"), err)
	}
	return st, nil
}

func (s *Stack) save(st state) error {
	text, err := json.MarshalIndent(st, "", "\t")
	if err != nil {
		return err
	}
	if err := replace(filepath.Join(s.data, "stack.json"), text, 0o600); err != nil {
		return err
	}
	all := map[string]string{"GARAGE_STACK_DATA": s.data}
	for _, env := range st.Env {
		maps.Copy(all, env)
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "export %s=%s\n", name, quote(all[name]))
	}
	return replace(filepath.Join(s.data, "env"), []byte(b.String()), 0o600)
}

// quote makes a word of the shell out of a value, plain where it needs no quotes.
func quote(value string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:=,@%+", r)
	}
	if value != "" && strings.IndexFunc(value, func(r rune) bool { return !plain(r) }) < 0 {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

// publish writes what a part says about itself into the environment file.
func (s *Stack) publish(part string, programs, env map[string]string) error {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	st, err := s.load()
	if err != nil {
		return err
	}
	all := maps.Clone(env)
	for name, path := range programs {
		all["GARAGE_STACK_BIN_"+strings.ToUpper(name)] = path
	}
	st.Env[part] = all
	return s.save(st)
}

// withdraw removes a part from the environment file.
func (s *Stack) withdraw(part string) error {
	st, err := s.load()
	if err != nil {
		return err
	}
	delete(st.Env, part)
	return s.save(st)
}

// Env returns what the environment file holds.
func (s *Stack) Env() (map[string]string, error) {
	st, err := s.load()
	if err != nil {
		return nil, err
	}
	all := map[string]string{"GARAGE_STACK_DATA": s.data}
	for _, env := range st.Env {
		maps.Copy(all, env)
	}
	return all, nil
}

// replace writes a file at once, so that a reader never sees half of it.
func replace(path string, content []byte, mode os.FileMode) error {
	if err := os.WriteFile(path+".partial", content, mode); err != nil {
		return err
	}
	return os.Rename(path+".partial", path)
}

// configure writes a configuration of a process. A process that runs keeps the one it has read: another one is refused.
func (s *Stack) configure(process, path string, content []byte) error {
	old, err := os.ReadFile(path)
	if err == nil && string(old) == string(content) {
		return nil
	}
	if err == nil {
		if p, err := s.group.Process(process); err == nil && p.Alive() {
			return fmt.Errorf("%s already runs with another %s: stop it first", process, path)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return replace(path, content, 0o600)
}
