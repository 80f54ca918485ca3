package load

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/anishathalye/porcupine"

	"deuxfleurs.fr/garage/tools/deploy"
)

// absent is the state of a key without object.
const absent = "-"

type kind int

const (
	read kind = iota
	write
)

type outcome int

const (
	happened outcome = iota
	refused
	unknown
)

// entry is one operation on one key.
type entry struct {
	kind             kind
	wrote, saw       string
	condition, value string
	outcome          outcome
	call, end        time.Duration
}

func (e entry) String() string {
	if e.kind == read {
		return "read → " + e.saw
	}
	text := "write " + e.wrote
	if e.condition != "" {
		text += " " + e.condition + " " + e.value
	}
	return text + []string{" → done", " → refused", " → no answer"}[e.outcome]
}

func (l *Load) record(key string, e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history[key] = append(l.history[key], e)
}

// holds says whether the condition of a write is true in a state.
func (e entry) holds(state string) bool {
	switch e.condition {
	case "If-None-Match":
		return state == absent
	case "If-Match":
		return state == e.value
	}
	return true
}

// state is a key's ETag, or absent. After a write without answer it also has the one before, which may come back.
type state struct {
	now, before string
	open        bool
}

// maybe are the states that may have come of one in which a write without answer took effect: where the metadata is in a database, such a
// write may be read and then be taken back, as services/metadata/cql says.
func (s state) maybe() []state {
	if s.open {
		return []state{s, {now: s.before}}
	}
	return []state{s}
}

// shared is the model of a deployment whose metadata is in a database.
var shared = porcupine.NondeterministicModel{
	Init: func() []any { return []any{state{now: absent}} },
	Step: func(from, input, output any) []any {
		var to []any
		for _, s := range from.(state).maybe() {
			for _, now := range model.Step(s.now, input, output) {
				switch e := input.(entry); {
				case e.kind == write && e.outcome == happened:
					to = append(to, state{now: e.wrote})
				case now.(string) == s.now:
					to = append(to, s)
				default:
					to = append(to, state{now: e.wrote, before: s.now, open: true})
				}
			}
		}
		return to
	},
	Equal:             func(a, b any) bool { return a == b },
	DescribeOperation: model.DescribeOperation,
	DescribeState: func(s any) string {
		if s.(state).open {
			return s.(state).now + " or again " + s.(state).before
		}
		return s.(state).now
	},
}

// model is one key as S3 means it. The input is the entry, which carries its outcome; there is no other output.
var model = porcupine.NondeterministicModel{
	Init: func() []any { return []any{absent} },
	Step: func(state, input, _ any) []any {
		e, now := input.(entry), state.(string)
		switch {
		case e.kind == read && e.saw == now:
			return []any{now}
		case e.kind == read:
			return nil
		case e.outcome == refused:
			// The condition was false, or it became so while the request was decided; a true one must not be refused.
			if e.holds(now) {
				return nil
			}
			return []any{now}
		case e.outcome == happened:
			if !e.holds(now) {
				return nil
			}
			return []any{e.wrote}
		case e.holds(now):
			return []any{now, e.wrote}
		default:
			return []any{now}
		}
	},
	Equal:             func(a, b any) bool { return a == b },
	DescribeOperation: func(input, _ any) string { return input.(entry).String() },
	DescribeState:     func(state any) string { return state.(string) },
}

// Check returns an error when no order of the operations explains the answers, with a drawing of the history in the folder.
func (l *Load) Check(folder string) error {
	if deploy.Kind() == deploy.Cluster {
		return l.check(shared.ToModel(), folder)
	}
	return l.check(model.ToModel(), folder)
}

func (l *Load) check(m porcupine.Model, folder string) error {
	if err := l.Wrong(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, entries := range l.history {
		operations := make([]porcupine.Operation, len(entries))
		for i, e := range entries {
			operations[i] = porcupine.Operation{ClientId: i, Input: e, Call: int64(e.call), Return: int64(e.end)}
			if e.outcome == unknown {
				operations[i].Return = math.MaxInt64
			}
		}
		result, info := porcupine.CheckOperationsVerbose(m, operations, time.Minute)
		if result == porcupine.Ok {
			continue
		}
		drawing := filepath.Join(folder, fmt.Sprintf("history-seed-%d.html", l.Seed))
		file, err := os.Create(drawing)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := porcupine.Visualize(m, info, file); err != nil {
			return err
		}
		return fmt.Errorf("key %q: no order of its %d operations explains the answers (%s, seed %d): see %s", key, len(entries), result, l.Seed, drawing)
	}
	return nil
}

// Operations returns how many operations on single keys the history holds.
func (l *Load) Operations() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, entries := range l.history {
		n += len(entries)
	}
	return n
}
