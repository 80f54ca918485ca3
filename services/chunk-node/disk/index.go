package disk

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// The keys of the index. A hash begins with its partition, so each kind of key
// is ordered by partition.
const (
	keyBlob      = 'b' // hash → what a file of the blob would hold
	keyDue       = 'd' // time of the next try, hash → nothing: a good copy is looked for
	keyEntry     = 'e' // hash → state.Chunk, without its Search
	keyLive      = 'l' // hash, reference → nothing
	keyMeta      = 'm' // name → …
	keyOwed      = 'o' // owner, hash, reference → time
	keyPending   = 'q' // time unreferenced, hash → nothing: waits for collection
	keySearch    = 's' // hash → state.Search, of a chunk for which a good copy is looked for
	keyTombstone = 't' // hash, reference → time of removal; or that by which the node had run, and a byte, if the reference is in the trash
)

const (
	refSize    = 16 + 8
	entrySize  = 28 // and 4 if there are references in the trash
	searchSize = 20 // without the problem
)

// Names of meta keys.
const (
	metaIdentity   = "identity"
	metaClean      = "clean"
	metaPartitions = "partitions"
	metaTotals     = "totals/"  // and the number of a writer
	metaNote       = "note/"    // and its name
	metaSearches   = "searches" // there if every chunk without a good copy that needs one has a keySearch
)

func metaKey(name string) []byte { return append([]byte{keyMeta}, name...) }

func hashKey(kind byte, h chunk.Hash) []byte { return append([]byte{kind}, h[:]...) }

// appendRef appends a key of kind keyLive or keyTombstone.
func appendRefKey(k []byte, kind byte, h chunk.Hash, ref chunk.Ref) []byte {
	k = append(k, kind)
	k = append(k, h[:]...)
	return appendRef(k, ref)
}

func appendRef(k []byte, ref chunk.Ref) []byte {
	k = append(k, ref.Attempt[:]...)
	return binary.BigEndian.AppendUint64(k, ref.Offset)
}

func parseRef(k []byte) chunk.Ref {
	return chunk.Ref{Attempt: uuid.UUID(k[:16]), Offset: binary.BigEndian.Uint64(k[16:refSize])}
}

// timeKey is a key of a queue.
func timeKey(kind byte, at time.Time, h chunk.Hash) []byte {
	k := binary.BigEndian.AppendUint64([]byte{kind}, uint64(at.UnixMicro()))
	return append(k, h[:]...)
}

func parseTimeKey(k []byte) (at time.Time, h chunk.Hash) {
	return time.UnixMicro(int64(binary.BigEndian.Uint64(k[1:]))), chunk.Hash(k[9:])
}

func owedKey(owner chunk.NodeID, h chunk.Hash, ref chunk.Ref) []byte {
	k := append([]byte{keyOwed}, owner[:]...)
	return appendRef(append(k, h[:]...), ref)
}

// bounds are the limits of an iteration over all keys that begin with prefix.
func bounds(prefix []byte) *pebble.IterOptions {
	upper := append([]byte(nil), prefix...)
	for i := len(upper) - 1; i >= 0; i-- {
		upper[i]++
		if upper[i] != 0 {
			return &pebble.IterOptions{LowerBound: prefix, UpperBound: upper[:i+1]}
		}
	}
	return &pebble.IterOptions{LowerBound: prefix}
}

const (
	flagCompressed = 1 << iota
	flagBad
	flagAwaited
)

func appendTime(p []byte, t time.Time) []byte {
	var micro uint64
	if !t.IsZero() {
		micro = uint64(t.UnixMicro())
	}
	return binary.BigEndian.AppendUint64(p, micro)
}

func parseTime(p []byte) time.Time {
	micro := binary.BigEndian.Uint64(p)
	if micro == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(micro))
}

// appendTrashed appends the value of a tombstone of a reference in the trash.
func appendTrashed(p []byte, at time.Duration) []byte {
	return append(binary.BigEndian.AppendUint64(p, uint64(at)), 1)
}

// parseTrashed returns for how long the node had run when a reference went to the trash, if it did.
func parseTrashed(p []byte) (at time.Duration, trashed bool) {
	if len(p) != 9 {
		return 0, false
	}
	return time.Duration(binary.BigEndian.Uint64(p)), true
}

func appendEntry(p []byte, c state.Chunk) []byte {
	var flags byte
	for i, set := range [...]bool{c.Compressed, c.Bad, c.Awaited} { // in the order of the flags
		if set {
			flags |= 1 << i
		}
	}
	p = append(p, 1, byte(c.Place), flags, 0)
	p = binary.BigEndian.AppendUint32(p, c.Length)
	p = binary.BigEndian.AppendUint32(p, c.Stored)
	p = appendTime(p, c.Verified)
	if p = appendTime(p, c.Unreferenced); c.Trashed > 0 {
		p = binary.BigEndian.AppendUint32(p, c.Trashed)
	}
	return p
}

func parseEntry(p []byte) (state.Chunk, error) {
	if len(p) != entrySize && len(p) != entrySize+4 || p[0] != 1 || p[1] > byte(state.InIndex) {
		return state.Chunk{}, errors.Newf(errors.Internal, "an entry of the index is malformed: %x", p)
	}
	c := state.Chunk{
		Copy: state.Copy{
			Place: state.Place(p[1]), Compressed: p[2]&flagCompressed != 0,
			Length: binary.BigEndian.Uint32(p[4:]), Stored: binary.BigEndian.Uint32(p[8:]),
		},
		Bad:          p[2]&flagBad != 0,
		Awaited:      p[2]&flagAwaited != 0,
		Verified:     parseTime(p[12:]),
		Unreferenced: parseTime(p[20:]),
	}
	if len(p) > entrySize {
		c.Trashed = binary.BigEndian.Uint32(p[entrySize:])
	}
	return c, nil
}

func appendSearch(p []byte, s state.Search) []byte {
	p = appendTime(appendTime(p, s.Since), s.Due)
	return append(binary.BigEndian.AppendUint32(p, s.Tries), s.Problem...)
}

func parseSearch(p []byte) (state.Search, error) {
	if len(p) < searchSize {
		return state.Search{}, errors.Newf(errors.Internal, "a search of the index is malformed: %x", p)
	}
	return state.Search{Since: parseTime(p), Due: parseTime(p[8:]), Tries: binary.BigEndian.Uint32(p[16:]), Problem: string(p[searchSize:])}, nil
}

// lookup reads a key and passes its value, valid only during the call.
func lookup(r pebble.Reader, key []byte, value func([]byte) error) (found bool, err error) {
	p, closer, err := r.Get(key)
	if errors.IsTarget(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = value(p)
	if e := closer.Close(); err == nil {
		err = e
	}
	return true, err
}

// each calls visit with every key and value within the limits until it returns false.
func each(r pebble.Reader, o *pebble.IterOptions, visit func(key, value []byte) bool) error {
	it, err := r.NewIter(o)
	if err != nil {
		return err
	}
	for ok := it.First(); ok && visit(it.Key(), it.Value()); ok = it.Next() {
	}
	return it.Close()
}

// eachIn is each for a visit that may fail. It ends early when ctx does.
func eachIn(ctx context.Context, r pebble.Reader, o *pebble.IterOptions, visit func(key, value []byte) (bool, error)) (err error) {
	e := each(r, o, func(key, value []byte) (more bool) {
		if err = ctx.Err(); err != nil {
			err = errors.Wrap(errors.KindOf(err), err, "reading the index")
			return false
		}
		more, err = visit(key, value)
		return more && err == nil
	})
	return errors.Join(e, err)
}

func ignore([]byte) error { return nil }

// entryOf reads what the index knows of a hash: the zero Chunk if nothing.
func entryOf(r pebble.Reader, h chunk.Hash) (c state.Chunk, err error) {
	var key [1 + chunk.HashSize]byte
	key[0] = keyEntry
	copy(key[1:], h[:])
	if _, err = lookup(r, key[:], func(p []byte) (err error) {
		c, err = parseEntry(p)
		return err
	}); err != nil || c.Place != state.Nowhere || !c.Known() {
		return c, err
	}
	key[0] = keySearch
	_, err = lookup(r, key[:], func(p []byte) (err error) {
		c.Search, err = parseSearch(p)
		return err
	})
	return c, err
}

// leastTotals is how many totals there were in the beginning.
const leastTotals = 6

// totals are the sums over the chunks of one writer.
type totals struct {
	Chunks, Bytes, Stored, Uncollected, Owed, Quarantined, Wanted, Trashed int64
	// Damaged and Mended count since the start, and are not kept on disk.
	Damaged, Mended int64
}

func (t *totals) add(o totals) {
	t.Chunks += o.Chunks
	t.Bytes += o.Bytes
	t.Stored += o.Stored
	t.Uncollected += o.Uncollected
	t.Owed += o.Owed
	t.Quarantined += o.Quarantined
	t.Wanted += o.Wanted
	t.Trashed += o.Trashed
	t.Damaged += o.Damaged
	t.Mended += o.Mended
}

// count adds a chunk n times: 1 or -1.
func (t *totals) count(c state.Chunk, n int64) {
	if !c.Known() {
		return
	}
	switch {
	case c.Unreferenced.IsZero():
		t.Chunks += n
		t.Bytes += n * int64(c.Length)
	case c.Trashed > 0:
		t.Trashed += n * int64(c.Stored)
	default:
		t.Uncollected += n
	}
	if c.Place != state.Nowhere {
		t.Stored += n * int64(c.Stored)
	}
	if c.Bad {
		t.Quarantined += n
	}
	if c.Sought() {
		t.Wanted += n
	}
}

// fields are in the order in which they were thought of: older programs knew of fewer.
func (t *totals) fields() []*int64 {
	return []*int64{&t.Chunks, &t.Bytes, &t.Stored, &t.Uncollected, &t.Owed, &t.Quarantined, &t.Wanted, &t.Trashed}
}

func (t *totals) encode() []byte {
	var p []byte
	for _, f := range t.fields() {
		p = binary.BigEndian.AppendUint64(p, uint64(*f))
	}
	return p
}

func (t *totals) decode(p []byte) error {
	fields := t.fields()
	if len(p)%8 != 0 || len(p) < 8*leastTotals || len(p) > 8*len(fields) {
		return errors.Newf(errors.Internal, "totals of the index are malformed: %x", p)
	}
	for i, f := range fields[:len(p)/8] {
		*f = int64(binary.BigEndian.Uint64(p[8*i:]))
	}
	return nil
}
