package kv

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/consul/api"

	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
)

// maxTransaction is Consul's default limit of a transaction's body, in bytes (limits.txn_max_req_len), less some
// room for the operations around the value. The value travels in base64.
const maxTransaction = 512<<10 - 4<<10

// MaxValue is the largest encoded layout, in bytes, that fits into a transaction: with three copies, room for
// about 1,800 nodes.
const MaxValue = maxTransaction / 4 * 3

// Store reads and changes the layout in Consul. It is safe for concurrent use.
type Store struct {
	consul *consul.Client
	log    *slog.Logger
	prefix string

	mu   sync.Mutex
	last inForce // what was read last: published layouts do not change
}

// New makes a Store.
func New(c *consul.Client, log *slog.Logger) *Store {
	return &Store{consul: c, log: log, prefix: c.Key("layout/")}
}

// Lock is a key of Consul's store and the session that must hold it for a change to happen.
type Lock struct {
	Key     string
	Session string
}

// Snapshot is the layouts in force and what is staged, as they were at one moment.
type Snapshot struct {
	Active *layout.Active // nil: no layout was published yet
	Staged layout.Change
	Lost   []Lost // nodes that the operator has given up, sorted by ID
	// Recovered says that the current layout was put back after Consul had lost it; nil: it was not.
	Recovered *Recovered

	// When each was last changed, as Consul counts; 0: it is not there.
	current, staged, oldest, lost, recovered uint64
}

// Revision changes whenever the layout or what is staged does.
func (s Snapshot) Revision() uint64 { return max(s.current, s.staged) }

// Layout is the current layout, or the zero Layout.
func (s Snapshot) Layout() layout.Layout {
	if s.Active == nil {
		return layout.Layout{}
	}
	return s.Active.Current().Layout
}

// Assignment is the current assignment, or nil.
func (s Snapshot) Assignment() *layout.Assignment {
	if s.Active == nil {
		return nil
	}
	return s.Active.Current().Assignment
}

// Read returns what is in force and what is staged. Kinds: Unavailable; Corrupted.
func (s *Store) Read(ctx context.Context) (Snapshot, error) {
	all, err := s.values(ctx, "current", "oldest", "staged", "lost", "recovered")
	if err != nil {
		return Snapshot{}, err
	}
	current, oldest, staged, lost := all[0], all[1], all[2], all[3]
	snapshot := Snapshot{current: current.ModifyIndex, oldest: oldest.ModifyIndex, staged: staged.ModifyIndex, lost: lost.ModifyIndex, recovered: all[4].ModifyIndex}
	if snapshot.staged != 0 {
		if err := json.Unmarshal(staged.Value, &snapshot.Staged); err != nil {
			return Snapshot{}, errors.E(errors.Corrupted, errors.Layout, "", "the key %sstaged cannot be read (%v): delete it, or run: garage layout drop", s.prefix, err)
		}
	}
	if snapshot.lost != 0 {
		if err := json.Unmarshal(lost.Value, &snapshot.Lost); err != nil {
			return Snapshot{}, errors.E(errors.Corrupted, errors.Layout, "", "the key %slost cannot be read (%v): delete it, and declare the nodes lost again", s.prefix, err)
		}
	}
	if snapshot.recovered != 0 {
		if err := json.Unmarshal(all[4].Value, &snapshot.Recovered); err != nil {
			return Snapshot{}, errors.E(errors.Corrupted, errors.Layout, "", "the key %srecovered cannot be read (%v): delete it", s.prefix, err)
		}
	}
	snapshot.Active, err = s.active(ctx, current, oldest)
	return snapshot, err
}

// values reads keys of the layout's folder at one moment. One that is not there has a ModifyIndex of 0. Kinds: Unavailable.
func (s *Store) values(ctx context.Context, names ...string) ([]*api.KVPair, error) {
	operations := make(api.KVTxnOps, len(names))
	for i, n := range names {
		operations[i] = &api.KVTxnOp{Verb: api.KVGetOrEmpty, Key: s.prefix + n}
	}
	ok, answer, _, err := s.consul.API().KV().Txn(operations, (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return nil, away(err, "reading the layout")
	}
	if !ok || len(answer.Results) != len(names) {
		return nil, errors.E(errors.Unavailable, errors.Layout, "", "Consul did not read it: %s", reasons(answer))
	}
	return answer.Results, nil
}

// inForce is the layouts that two keys name, and when the key of the current one was made: not later than these layouts.
type inForce struct {
	active *layout.Active
	made   uint64
}

// active reads the layouts from the oldest to the current one; nil if there is none. Where Consul has no oldest, the current one is alone.
func (s *Store) active(ctx context.Context, current, oldest *api.KVPair) (*layout.Active, error) {
	if current.ModifyIndex == 0 {
		return nil, nil
	}
	to, err := s.number(current)
	if err != nil {
		return nil, err
	}
	from := to
	if oldest.ModifyIndex != 0 {
		if from, err = s.number(oldest); err != nil {
			return nil, err
		}
	}
	if from > to || to-from >= layout.MaxActive {
		return nil, errors.E(errors.Corrupted, errors.Layout, "", "Consul's keys %scurrent and %soldest say that the layouts from %d to %d are in force", s.prefix, s.prefix, from, to)
	}
	known := s.known(current.CreateIndex)
	if known != nil && known.Number() == to && known.Oldest() == from {
		return known, nil
	}
	var all []layout.Placement
	for number := from; number <= to; number++ {
		p, err := s.placement(ctx, known, number)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	a, err := layout.NewActive(all...)
	if err != nil {
		return nil, errors.Wrap(errors.Corrupted, err, "the layouts in Consul")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = inForce{active: a, made: current.CreateIndex}
	return a, nil
}

// known is what was read last, if the key of the current layout is still the one that was made at that index: Consul's store
// was not emptied since.
func (s *Store) known(made uint64) *layout.Active {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last.made != made {
		return nil
	}
	return s.last.active
}

func (s *Store) placement(ctx context.Context, known *layout.Active, number uint64) (layout.Placement, error) {
	if known != nil {
		for _, p := range known.Placements() {
			if p.Layout.Number == number {
				return p, nil
			}
		}
	}
	return s.Get(ctx, number)
}

// Get returns a layout of the history by its number. Kinds: NotFound; Unavailable; Corrupted.
func (s *Store) Get(ctx context.Context, number uint64) (layout.Placement, error) {
	pair, _, err := s.consul.API().KV().Get(s.key(number), (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return layout.Placement{}, away(err, "reading layout %d", number)
	}
	if pair == nil {
		return layout.Placement{}, errors.E(errors.NotFound, errors.Layout, strconv.FormatUint(number, 10), "Consul has no key %s", s.key(number))
	}
	var p layout.Placement
	if err := p.UnmarshalBinary(pair.Value); err != nil {
		return layout.Placement{}, errors.Annotate(err, "Consul's key %s", s.key(number))
	}
	if p.Layout.Number != number {
		return layout.Placement{}, errors.E(errors.Corrupted, errors.Layout, "", "Consul's key %s holds number %d", s.key(number), p.Layout.Number)
	}
	return p, nil
}

// History is the numbers of all layouts that were published, lowest first.
func (s *Store) History(ctx context.Context) ([]uint64, error) {
	keys, _, err := s.consul.API().KV().Keys(s.prefix, "", (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return nil, away(err, "listing the layouts")
	}
	var numbers []uint64
	for _, k := range keys {
		if n, err := strconv.ParseUint(strings.TrimPrefix(k, s.prefix), 10, 64); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// Stage replaces what is staged, if nothing was changed since seen was read; an empty change removes it. lock may
// be the zero Lock. Kinds: Conflict; Unavailable.
func (s *Store) Stage(ctx context.Context, lock Lock, seen Snapshot, change layout.Change) error {
	operations := api.KVTxnOps{s.unchanged(seen.current)}
	if change.Empty() {
		if seen.staged == 0 {
			return nil
		}
		operations = append(operations, &api.KVTxnOp{Verb: api.KVDeleteCAS, Key: s.prefix + "staged", Index: seen.staged})
	} else {
		value, err := json.Marshal(change)
		if err != nil {
			return err
		}
		if len(value) > MaxValue {
			return tooLarge(len(value))
		}
		operations = append(operations, &api.KVTxnOp{Verb: api.KVCAS, Key: s.prefix + "staged", Value: value, Index: seen.staged})
	}
	return s.change(ctx, lock, operations, "staging the change")
}

// Publish puts a layout in force and removes what is staged, if nothing was changed since seen was read. lock may
// be the zero Lock. The layouts in force before stay so. Kinds: Conflict; Invalid if the number does not follow; PreconditionFailed if
// layout.MaxActive are in force; Full; Unavailable: the layout may or may not have been published then.
func (s *Store) Publish(ctx context.Context, lock Lock, seen Snapshot, p layout.Placement) error {
	if want := seen.Layout().Number + 1; p.Layout.Number != want {
		return errors.E(errors.Invalid, errors.Layout, strconv.FormatUint(p.Layout.Number, 10), "the next layout has the number %d", want)
	}
	if err := p.Check(); err != nil {
		return err
	}
	if why := seen.Crowded(); why != "" {
		return errors.E(errors.PreconditionFailed, errors.Layout, strconv.FormatUint(p.Layout.Number, 10), "%s", why)
	}
	value, err := p.MarshalBinary()
	if err != nil {
		return err
	}
	if len(value) > MaxValue {
		return tooLarge(len(value))
	}
	operations := api.KVTxnOps{
		{Verb: api.KVCAS, Key: s.key(p.Layout.Number), Value: value, Index: 0},
		{Verb: api.KVCAS, Key: s.prefix + "current", Value: strconv.AppendUint(nil, p.Layout.Number, 10), Index: seen.current},
	}
	if seen.staged != 0 {
		operations = append(operations, &api.KVTxnOp{Verb: api.KVDeleteCAS, Key: s.prefix + "staged", Index: seen.staged})
	} else {
		operations = append(operations, &api.KVTxnOp{Verb: api.KVCheckNotExists, Key: s.prefix + "staged"})
	}
	if seen.recovered != 0 {
		operations = append(operations, &api.KVTxnOp{Verb: api.KVDeleteCAS, Key: s.prefix + "recovered", Index: seen.recovered})
	}
	if seen.oldest == 0 {
		oldest := p.Layout.Number
		if seen.Active != nil {
			oldest = seen.Active.Oldest()
		}
		operations = append(operations, &api.KVTxnOp{Verb: api.KVCAS, Key: s.prefix + "oldest", Value: strconv.AppendUint(nil, oldest, 10), Index: 0})
	}
	return s.change(ctx, lock, operations, "publishing the layout")
}

// unchanged demands that the current layout is still the one that was seen.
func (s *Store) unchanged(index uint64) *api.KVTxnOp {
	if index == 0 {
		return &api.KVTxnOp{Verb: api.KVCheckNotExists, Key: s.prefix + "current"}
	}
	return &api.KVTxnOp{Verb: api.KVCheckIndex, Key: s.prefix + "current", Index: index}
}

func (s *Store) change(ctx context.Context, lock Lock, operations api.KVTxnOps, what string) error {
	if lock != (Lock{}) {
		operations = append(api.KVTxnOps{{Verb: api.KVCheckSession, Key: lock.Key, Session: lock.Session}}, operations...)
	}
	ok, answer, _, err := s.consul.API().KV().Txn(operations, (&api.QueryOptions{}).WithContext(ctx))
	switch {
	case err != nil:
		return away(err, "%s", what)
	case ok:
		return nil
	}
	for _, e := range answer.Errors {
		if lock != (Lock{}) && e.OpIndex == 0 {
			return errors.E(errors.Conflict, errors.Layout, "", "nothing was changed: this rebalancer is no longer the active one; try again")
		}
	}
	return errors.E(errors.Conflict, errors.Layout, "", "nothing was changed: somebody else has changed the layout or what is staged at the same time; look at it with \"garage layout show\" and try again (%s)", reasons(answer))
}

func reasons(answer *api.KVTxnResponse) string {
	if answer == nil || len(answer.Errors) == 0 {
		return "it gave no reason"
	}
	var all []string
	for _, e := range answer.Errors {
		all = append(all, e.What)
	}
	return strings.Join(all, "; ")
}

func (s *Store) key(number uint64) string { return s.prefix + strconv.FormatUint(number, 10) }

func (s *Store) number(pair *api.KVPair) (uint64, error) {
	number, err := strconv.ParseUint(string(pair.Value), 10, 64)
	if err != nil || number == 0 {
		return 0, errors.E(errors.Corrupted, errors.Layout, "", "Consul's key %s holds %q instead of the number of a layout", pair.Key, pair.Value)
	}
	return number, nil
}

func tooLarge(size int) error {
	return errors.E(errors.Full, errors.Layout, "", "it takes %d bytes, and Consul's store takes %d at once: use fewer nodes or shorter zone names", size, MaxValue)
}

// away says that Consul could not be asked.
func away(err error, format string, args ...any) error {
	if kind := errors.KindOf(err); kind == errors.Canceled || kind == errors.Deadline {
		return errors.Wrap(kind, err, "%s: Consul", fmt.Sprintf(format, args...))
	}
	return errors.Wrap(errors.Unavailable, err, "%s: Consul cannot be asked", fmt.Sprintf(format, args...))
}
