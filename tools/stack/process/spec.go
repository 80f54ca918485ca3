package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Spec says how to run a process.
type Spec struct {
	// Name is unique in its group, and the name of its record: letters, digits and dashes.
	Name string
	// Args are the program and its arguments.
	Args []string
	// Env is added to the environment, as NAME=value.
	Env []string `json:",omitempty"`
	// Dir is the working folder; it must exist.
	Dir string
	// Log takes the output; it is appended to.
	Log string
	// Grace is how long the process may take to end when it is asked to; then it is killed.
	Grace time.Duration
	// Ready says whom to ask whether the process is ready; its meaning is the caller's.
	Ready Ready
}

// Ready says how to see that a process is ready.
type Ready struct {
	Kind, Address string
	Name          string `json:",omitempty"`
	CA            string `json:",omitempty"`
}

func (s Spec) equal(o Spec) bool {
	return s.Name == o.Name && slices.Equal(s.Args, o.Args) && slices.Equal(s.Env, o.Env) && s.Dir == o.Dir && s.Log == o.Log
}

// record is what the file of a process holds.
type record struct {
	Spec
	PID     int
	Started identity
}

func (g *Group) path(name string) string { return filepath.Join(g.dir, name+".json") }

func (g *Group) read(name string) (record, error) {
	text, err := os.ReadFile(g.path(name))
	if err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return record{}, fmt.Errorf("%s: %w", g.path(name), err)
	}
	return r, nil
}

// write replaces the record at once, so that a reader never sees half of one.
func (g *Group) write(r record) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	partial := g.path(r.Name) + ".partial"
	if err := os.WriteFile(partial, text, 0o600); err != nil {
		return errors.Join(err, os.Remove(partial))
	}
	return os.Rename(partial, g.path(r.Name))
}
