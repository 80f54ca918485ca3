//go:build stack

package cql

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// absent is the state of a key without object; other states are ETags.
const absent = "-"

type outcome string

const (
	happened outcome = "done"
	refused  outcome = "refused"   // the condition did not hold
	unknown  outcome = "no answer" // it may happen, now, later or never
	// shown is what the package's documentation names: an unconditional write that takes longer than the store waits for it
	// may be read before it is answered, hide behind another of the same moment, and come back above that. A conditional write
	// that hides it was decided before, without it: so what read it too early explains nothing, and is left out.
	shown outcome = "maybe shown early"
)

// entry is one operation on one key. One that answers Conflict left nothing, and is no entry.
type entry struct {
	wrote     string // the state that a write makes; empty: a read
	saw       string // by a read
	condition meta.Condition
	outcome   outcome
	call, end time.Duration
}

func (e entry) String() string {
	if e.wrote == "" {
		return "read → " + e.saw
	}
	text := "write " + e.wrote
	if !e.condition.Unconditional() {
		text += fmt.Sprint(" if ", e.condition)
	}
	return text + " → " + string(e.outcome)
}

func (e entry) holds(state string) bool {
	return e.condition.Check("", state != absent, state) == nil
}

// register is a key as S3 means it. The input is the entry, which carries its outcome; there is no other output.
var register = porcupine.NondeterministicModel{
	Init: func() []any { return []any{absent} },
	Step: func(state, input, _ any) []any {
		e, now := input.(entry), state.(string)
		ok := true
		switch {
		case e.wrote == "":
			ok = e.saw == now
		case e.outcome == refused:
			ok = !e.holds(now)
		case (e.outcome == unknown || e.outcome == shown) && e.holds(now):
			return []any{now, e.wrote}
		case e.outcome == happened && e.holds(now):
			now = e.wrote
		case e.outcome == happened:
			ok = false
		}
		if !ok {
			return nil
		}
		return []any{now}
	},
	Equal:             func(a, b any) bool { return a == b },
	DescribeOperation: func(input, _ any) string { return input.(entry).String() },
	DescribeState:     func(state any) string { return state.(string) },
}

// history is what was asked and answered on the keys of a bucket.
type history struct {
	t      *testing.T
	bucket uuid.UUID
	begun  time.Time

	mu    sync.Mutex
	keys  map[string][]entry
	early map[string][]entry // the writes that may be read too early, see shown
	n     int
}

func newHistory(t *testing.T, s meta.Store) *history {
	id := uuid.New()
	require.NoError(t, s.CreateBucket(context.Background(), meta.Bucket{ID: id, Name: id.String()}))
	return &history{t: t, bucket: id, begun: time.Now(), keys: make(map[string][]entry), early: make(map[string][]entry)}
}

// etag is a state that no other write makes.
func (h *history) etag() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n++
	return fmt.Sprint("v", h.n)
}

func (h *history) add(key string, call time.Duration, e entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.call, e.end = call, time.Since(h.begun)
	h.keys[key] = append(h.keys[key], e)
}

// wrote records a write that answered err.
func (h *history) wrote(key, state string, c meta.Condition, call time.Duration, err error) {
	e := entry{wrote: state, condition: c, outcome: happened}
	switch kind := errors.KindOf(err); {
	case err == nil:
	case kind == errors.Conflict:
		return
	case kind == errors.PreconditionFailed, errors.IsEntity(err, errors.NotFound, errors.Object):
		e.outcome = refused
	case kind == errors.Unavailable, kind == errors.Deadline, kind == errors.Overloaded, kind == errors.Canceled:
		e.outcome = unknown
	default:
		h.t.Errorf("writing %s: %v", key, err)
	}
	h.add(key, call, e)
	if slow := time.Since(h.begun)-call >= lease/20; slow && c.Unconditional() {
		before := e.outcome
		e.outcome = shown
		h.add(key, call, e)
		e.call, e.end = call, time.Since(h.begun)
		if before == unknown {
			e.end = math.MaxInt64
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.early[key] = append(h.early[key], e)
	}
}

// tooEarly says whether an entry read what may not have had its place yet.
func (h *history) tooEarly(key string, read entry) bool {
	return read.wrote == "" && slices.ContainsFunc(h.early[key], func(w entry) bool {
		return w.wrote == read.saw && w.call < read.end && read.call < w.end
	})
}

func (h *history) put(ctx context.Context, s meta.Store, key string, c meta.Condition) {
	state, call := h.etag(), time.Since(h.begun)
	_, err := s.PutObject(ctx, meta.Put{Bucket: h.bucket, Key: key, Size: int64(len(state)), ETag: state, Inline: []byte(state), Condition: c})
	h.wrote(key, state, c, call, err)
}

// putUpload is put with a body that is not inline.
func (h *history) putUpload(ctx context.Context, s meta.Store, key string, c meta.Condition) {
	state := h.etag()
	r, chunks := h.begin(s, key, false)
	call := time.Since(h.begun)
	_, err := s.PutObject(ctx, meta.Put{Bucket: h.bucket, Key: key, Upload: r.ID, Size: 1, ETag: state, First: chunks[0], Chunks: chunks, Condition: c})
	h.wrote(key, state, c, call, err)
}

func (h *history) complete(ctx context.Context, s meta.Store, key string, c meta.Condition) {
	state := h.etag()
	r, chunks := h.begin(s, key, true)
	p := meta.Part{Number: 1, Attempt: uuid.New(), Size: 1, ETag: state, First: chunks[0]}
	require.NoError(h.t, s.BeginPart(context.Background(), r, 1, p.Attempt))
	p, err := s.FinishPart(context.Background(), r, p, chunks)
	require.NoError(h.t, err)
	call := time.Since(h.begun)
	_, err = s.CompleteUpload(ctx, meta.Complete{UploadRef: r, Parts: []meta.Part{p}, ETag: state, Condition: c})
	h.wrote(key, state, c, call, err)
}

func (h *history) begin(s meta.Store, key string, multipart bool) (meta.UploadRef, []meta.Chunk) {
	id, err := meta.NewUploadID(time.Now(), random)
	require.NoError(h.t, err)
	r := meta.UploadRef{Bucket: h.bucket, Key: key, ID: id}
	require.NoError(h.t, s.BeginUpload(context.Background(), meta.Upload{UploadRef: r, Multipart: multipart}))
	return r, []meta.Chunk{{Length: 1}}
}

func (h *history) remove(ctx context.Context, s meta.Store, key string, c meta.Condition) {
	call := time.Since(h.begun)
	results, err := s.DeleteObjects(ctx, h.bucket, []meta.Delete{{Key: key, Condition: c}})
	if err == nil {
		err = results[0].Err
	}
	h.wrote(key, absent, c, call, err)
}

// get reads a key and records what it saw, if there was an answer.
func (h *history) get(ctx context.Context, s meta.Store, key string) string {
	call := time.Since(h.begun)
	o, err := s.Object(ctx, h.bucket, key)
	switch {
	case errors.IsEntity(err, errors.NotFound, errors.Object):
		o.ETag = absent
	case err != nil:
		return ""
	}
	h.add(key, call, entry{saw: o.ETag})
	return o.ETag
}

// list reads a key by a listing.
func (h *history) list(ctx context.Context, s meta.Store, key string) {
	call := time.Since(h.begun)
	page, err := s.List(ctx, meta.List{Bucket: h.bucket, Prefix: key, Limit: 1})
	if err != nil {
		return
	}
	saw := absent
	for _, o := range page.Objects {
		saw = o.ETag
	}
	h.add(key, call, entry{saw: saw})
}

// check fails the test if no order of the operations explains the answers, and leaves a drawing of the history then.
func (h *history) check() {
	count := make(map[outcome]int)
	early := 0
	for key, entries := range h.keys {
		all := len(entries)
		entries = slices.DeleteFunc(entries, func(e entry) bool { return h.tooEarly(key, e) })
		early += all - len(entries)
		operations := make([]porcupine.Operation, len(entries))
		for i, e := range entries {
			count[e.outcome]++
			operations[i] = porcupine.Operation{ClientId: i, Input: e, Call: int64(e.call), Return: int64(e.end)}
			if e.outcome == unknown {
				operations[i].Return = math.MaxInt64
			}
		}
		result, info := porcupine.CheckOperationsVerbose(register.ToModel(), operations, time.Minute)
		if result == porcupine.Ok {
			continue
		}
		path := filepath.Join(os.TempDir(), "history-"+uuid.NewString()+".html")
		if file, err := os.Create(path); err == nil {
			if err := porcupine.Visualize(register.ToModel(), info, file); err != nil {
				path = err.Error()
			}
			_ = file.Close()
		}
		h.t.Errorf("key %q: no order of its %d operations explains the answers (%s): see %s", key, len(entries), result, path)
	}
	h.t.Logf("%d keys, reads and writes by outcome: %v; %d reads were too early", len(h.keys), count, early)
}
