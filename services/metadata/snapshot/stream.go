package snapshot

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta/convert"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// A stream is a zstd frame of magic and records, each with its length before it as a varint. The last record has a hash of all
// before it; what follows the frame does not matter.
const magic = "garage metadata snapshot 1\n"

// maxRecord bounds a record, in bytes: an inline body and attributes are far below.
const maxRecord = 16 << 20

// Manifest says what a snapshot has.
type Manifest struct {
	ClusterID  uuid.UUID
	Taken      time.Time // when it was begun
	Buckets    int64
	Keys       int64
	Objects    int64
	Bytes      int64 // plain bytes of the objects
	Incomplete int64 // objects left out because their chunks are not known
}

// Proto translates a manifest.
func (m Manifest) Proto() *metadatav1.Snapshot {
	return &metadatav1.Snapshot{
		ClusterId: convert.ID(m.ClusterID), Taken: convert.Time(m.Taken), Buckets: m.Buckets, Keys: m.Keys, Objects: m.Objects, Bytes: m.Bytes,
		Incomplete: m.Incomplete,
	}
}

// counts are what is counted while a stream is written or read.
func (m Manifest) counts() [5]int64 {
	return [...]int64{m.Buckets, m.Keys, m.Objects, m.Bytes, m.Incomplete}
}

// writer writes records.
type writer struct {
	zstd   *zstd.Encoder
	hasher *chunk.Hasher
	frame  []byte
}

func newWriter(w io.Writer) (*writer, error) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, errors.Wrap(errors.Internal, err, "compressing a snapshot")
	}
	_, err = z.Write([]byte(magic))
	return &writer{zstd: z, hasher: chunk.NewHasher()}, errors.Wrap(errors.Internal, err, "writing a snapshot")
}

func (w *writer) write(r *metadatav1.SnapshotRecord) error {
	w.frame = binary.AppendUvarint(w.frame[:0], uint64(proto.Size(r)))
	var err error
	if w.frame, err = (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend(w.frame, r); err != nil {
		return errors.Wrap(errors.Internal, err, "writing a record of a snapshot")
	}
	if r.GetEnd() == nil {
		_, _ = w.hasher.Write(w.frame) // never fails
	}
	_, err = w.zstd.Write(w.frame)
	return errors.Wrap(errors.Internal, err, "writing a snapshot")
}

// end writes the last record.
func (w *writer) end(m Manifest) error {
	sum := w.hasher.Sum()
	err := w.write(&metadatav1.SnapshotRecord{Record: &metadatav1.SnapshotRecord_End{End: &metadatav1.SnapshotEnd{Counts: m.Proto(), Hash: sum[:]}}})
	return errors.Join(err, errors.Wrap(errors.Internal, w.zstd.Close(), "writing a snapshot"))
}

// reader reads records.
type reader struct {
	zstd   *zstd.Decoder
	in     *bufio.Reader
	hasher *chunk.Hasher
	frame  []byte
	last   bool
}

func damaged(err error, format string, args ...any) error {
	if kind := errors.KindOf(err); kind != errors.Internal && err != nil && kind != errors.Corrupted {
		return err // it could not be read
	}
	return errors.Annotate(errors.Join(errors.Newf(errors.Corrupted, format, args...), err), "the snapshot is damaged")
}

func newReader(r io.Reader) (*reader, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return nil, errors.Wrap(errors.Internal, err, "reading a snapshot")
	}
	s := &reader{zstd: z, in: bufio.NewReaderSize(z, 64<<10), hasher: chunk.NewHasher()}
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(s.in, head); err != nil || string(head) != magic {
		z.Close()
		return nil, damaged(err, "it does not begin as a snapshot of this version does")
	}
	return s, nil
}

func (r *reader) close() { r.zstd.Close() }

// next reads a record. After the last one, whose hash it has checked, it returns io.EOF.
func (r *reader) next() (*metadatav1.SnapshotRecord, error) {
	if r.last {
		return nil, io.EOF
	}
	size, err := binary.ReadUvarint(r.in)
	if err != nil || size > maxRecord {
		return nil, damaged(err, "it ends early, or a record has %d bytes", size)
	}
	r.frame = binary.AppendUvarint(r.frame[:0], size)
	head := len(r.frame)
	r.frame = append(r.frame, make([]byte, size)...)
	if _, err := io.ReadFull(r.in, r.frame[head:]); err != nil {
		return nil, damaged(err, "it ends within a record")
	}
	var record metadatav1.SnapshotRecord
	if err := proto.Unmarshal(r.frame[head:], &record); err != nil {
		return nil, damaged(err, "a record cannot be read")
	}
	if end := record.GetEnd(); end != nil {
		if sum := r.hasher.Sum(); !bytes.Equal(sum[:], end.GetHash()) {
			return nil, damaged(nil, "its hash is %v, not %x", sum, end.GetHash())
		}
		r.last = true
		return &record, nil
	}
	_, _ = r.hasher.Write(r.frame) // never fails
	return &record, nil
}
