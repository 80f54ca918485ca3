package disk

import (
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
	keyEntry     = 'e' // hash → state.Chunk
	keyLive      = 'l' // hash, reference → nothing
	keyMeta      = 'm' // name → …
	keyOwed      = 'o' // owner, hash, reference → time
	keyPending   = 'q' // time unreferenced, hash → nothing: waits for collection
	keyTombstone = 't' // hash, reference → time of removal
)

const (
	refSize   = 16 + 8
	entrySize = 28
)

// Names of meta keys.
const (
	metaIdentity   = "identity"
	metaClean      = "clean"
	metaPartitions = "partitions"
	metaTotals     = "totals/" // and the number of a writer
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

func pendingKey(since time.Time, h chunk.Hash) []byte {
	k := binary.BigEndian.AppendUint64([]byte{keyPending}, uint64(since.UnixMicro()))
	return append(k, h[:]...)
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

func appendEntry(p []byte, c state.Chunk) []byte {
	var flags byte
	if c.Compressed {
		flags |= flagCompressed
	}
	if c.Bad {
		flags |= flagBad
	}
	p = append(p, 1, byte(c.Place), flags, 0)
	p = binary.BigEndian.AppendUint32(p, c.Length)
	p = binary.BigEndian.AppendUint32(p, c.Stored)
	p = appendTime(p, c.Verified)
	return appendTime(p, c.Unreferenced)
}

func parseEntry(p []byte) (state.Chunk, error) {
	if len(p) != entrySize || p[0] != 1 || p[1] > byte(state.InIndex) {
		return state.Chunk{}, errors.Newf(errors.Internal, "an entry of the index is malformed: %x", p)
	}
	return state.Chunk{
		Copy: state.Copy{
			Place: state.Place(p[1]), Compressed: p[2]&flagCompressed != 0,
			Length: binary.BigEndian.Uint32(p[4:]), Stored: binary.BigEndian.Uint32(p[8:]),
		},
		Bad:          p[2]&flagBad != 0,
		Verified:     parseTime(p[12:]),
		Unreferenced: parseTime(p[20:]),
	}, nil
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

func ignore([]byte) error { return nil }

// entryOf reads what the index knows of a hash: the zero Chunk if nothing.
func entryOf(r pebble.Reader, h chunk.Hash) (c state.Chunk, err error) {
	var key [1 + chunk.HashSize]byte
	key[0] = keyEntry
	copy(key[1:], h[:])
	_, err = lookup(r, key[:], func(p []byte) (err error) {
		c, err = parseEntry(p)
		return err
	})
	return c, err
}

// totals are the sums over the chunks of one writer.
type totals struct {
	Chunks, Bytes, Stored, Uncollected, Owed, Quarantined int64
}

func (t *totals) add(o totals) {
	t.Chunks += o.Chunks
	t.Bytes += o.Bytes
	t.Stored += o.Stored
	t.Uncollected += o.Uncollected
	t.Owed += o.Owed
	t.Quarantined += o.Quarantined
}

// count adds a chunk n times: 1 or -1.
func (t *totals) count(c state.Chunk, n int64) {
	if !c.Known() {
		return
	}
	if c.Unreferenced.IsZero() {
		t.Chunks += n
		t.Bytes += n * int64(c.Length)
	} else {
		t.Uncollected += n
	}
	if c.Place != state.Nowhere {
		t.Stored += n * int64(c.Stored)
	}
	if c.Bad {
		t.Quarantined += n
	}
}

func (t *totals) fields() [6]*int64 {
	return [6]*int64{&t.Chunks, &t.Bytes, &t.Stored, &t.Uncollected, &t.Owed, &t.Quarantined}
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
	if len(p) != 8*len(fields) {
		return errors.Newf(errors.Internal, "totals of the index are malformed: %x", p)
	}
	for i, f := range fields {
		*f = int64(binary.BigEndian.Uint64(p[8*i:]))
	}
	return nil
}
