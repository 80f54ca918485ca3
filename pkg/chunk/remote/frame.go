package remote

import (
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/errors"
)

// FrameSize is how many bytes of a chunk a data frame holds at most.
const FrameSize = 256 << 10

// The field numbers of PutRequest, GetResponse and RepairRequest.
const (
	headerField = 1
	dataField   = 2
)

// Frame is a message with a header or data, as PutRequest, GetResponse and
// RepairRequest are on the wire.
type Frame struct {
	Header proto.Message // to be sent, or to be filled where a header comes

	// To be sent: the bytes [From, To) of Data. The codec holds a reference to
	// Data until gRPC has written them.
	Data     *buffer.Buffer
	From, To int

	// Received: the data's bytes, owned by whoever received the frame, who frees them.
	Received  mem.BufferSlice
	HasHeader bool
}

// codec is the protobuf codec with frames.
type codec struct{ encoding.CodecV2 }

// Codec encodes frames without copying their data, and all other messages as
// the standard codec does. Servers take it with grpc.ForceServerCodecV2,
// connections with grpc.ForceCodecV2.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2(grpcproto.Name)} }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*Frame)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	if f.Data == nil {
		header, err := proto.Marshal(f.Header)
		if err != nil {
			return nil, err
		}
		p := protowire.AppendTag(nil, headerField, protowire.BytesType)
		return mem.BufferSlice{mem.SliceBuffer(protowire.AppendBytes(p, header))}, nil
	}
	pieces := f.Data.Slice(f.From, f.To)
	p := protowire.AppendTag(make([]byte, 0, 8), dataField, protowire.BytesType)
	p = protowire.AppendVarint(p, uint64(f.To-f.From))
	out := make(mem.BufferSlice, 1, 1+len(pieces))
	out[0] = mem.SliceBuffer(p)
	for i := range pieces {
		out = append(out, lend(f.Data, &pieces[i]))
	}
	return out, nil
}

// lend makes a piece of a buffer's memory gRPC's until it frees it.
func lend(b *buffer.Buffer, piece *[]byte) mem.Buffer {
	if mem.IsBelowBufferPoolingThreshold(cap(*piece)) { // gRPC does not count references to small ones
		return mem.SliceBuffer(append([]byte(nil), *piece...))
	}
	return mem.NewBuffer(piece, lender{b.Retain()})
}

// lender is a mem.BufferPool that only takes back.
type lender struct{ b *buffer.Buffer }

func (l lender) Get(length int) *[]byte { b := make([]byte, length); return &b }
func (l lender) Put(*[]byte)            { l.b.Release() }

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*Frame)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	f.Received, f.HasHeader = nil, false
	r := reader{data: data}
	for r.left() > 0 {
		number, size, err := r.field()
		if err != nil {
			return err
		}
		switch {
		case number == headerField && f.Header != nil:
			if err := proto.Unmarshal(r.bytes(size), f.Header); err != nil {
				return err
			}
			f.HasHeader = true
		case number == dataField:
			f.Received.Free()
			f.Received = r.take(size)
		default:
			r.bytes(size)
		}
	}
	return nil
}

// reader walks over the pieces of a message.
type reader struct {
	data mem.BufferSlice
	at   int // in the first piece
}

func (r *reader) left() int {
	n := -r.at
	for _, b := range r.data {
		n += b.Len()
	}
	return n
}

// field reads the tag and length of a field of bytes. Others do not occur in frames.
func (r *reader) field() (protowire.Number, int, error) {
	tag, err := r.varint()
	if err != nil {
		return 0, 0, err
	}
	number, kind := protowire.DecodeTag(tag)
	if number < 1 || kind != protowire.BytesType {
		return 0, 0, errors.Newf(errors.Invalid, "a frame is malformed: field %d of kind %d", number, kind)
	}
	size, err := r.varint()
	if err != nil {
		return 0, 0, err
	}
	if size > uint64(r.left()) {
		return 0, 0, errors.Newf(errors.Invalid, "a frame is malformed: a field of %d bytes with %d left", size, r.left())
	}
	return number, int(size), nil
}

func (r *reader) varint() (uint64, error) {
	var v uint64
	for shift := uint(0); shift < 64; shift += 7 {
		p := r.peek()
		if p == nil {
			break
		}
		r.skip(1)
		v |= uint64(p[0]&0x7f) << shift
		if p[0] < 0x80 {
			return v, nil
		}
	}
	return 0, errors.Newf(errors.Invalid, "a frame is malformed: a number does not end")
}

// peek is what is left of the first piece that has something left, or nil.
func (r *reader) peek() []byte {
	for len(r.data) > 0 {
		if p := r.data[0].ReadOnlyData()[r.at:]; len(p) > 0 {
			return p
		}
		r.data, r.at = r.data[1:], 0
	}
	return nil
}

func (r *reader) skip(n int) { r.at += n }

// bytes copies the next n bytes, which are there.
func (r *reader) bytes(n int) []byte {
	out := make([]byte, 0, n)
	for len(out) < n {
		p := r.peek()
		p = p[:min(len(p), n-len(out))]
		out = append(out, p...)
		r.skip(len(p))
	}
	return out
}

// take refers to the next n bytes, which are there.
func (r *reader) take(n int) mem.BufferSlice {
	var out mem.BufferSlice
	for n > 0 {
		size := min(len(r.peek()), n)
		out = append(out, r.data[0].Slice(r.at, r.at+size))
		r.skip(size)
		n -= size
	}
	return out
}
