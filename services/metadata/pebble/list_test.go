package pebble

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/convert"
)

func TestTheReaderOfListingsReadsWhatProtobufWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })
		l := meta.Listed{
			Version: meta.Version{Timestamp: clock.Timestamp(rapid.Int64().Draw(t, "time")), ID: uuid.UUID{1}}, Size: rapid.Int64().Draw(t, "size"),
			ETag: text.Draw(t, "etag"), StorageClass: text.Draw(t, "class"),
			Checksum: meta.Checksum{Algorithm: rapid.SampledFrom([]string{"", "CRC32", "NEW"}).Draw(t, "algorithm"), Type: rapid.SampledFrom([]string{"", "COMPOSITE"}).Draw(t, "type")},
		}
		p := convert.Listed(l)
		p.Chunked = rapid.Bool().Draw(t, "chunked")
		b, err := proto.Marshal(p)
		require.NoError(t, err)
		// A field of a later version is stepped over.
		b = append(b, 0xa2, 0x06, 2, 'x', 'y', 0xad, 0x06, 1, 2, 3, 4)
		var got meta.Listed
		chunked, err := decodeListed(b, &got)
		require.NoError(t, err)
		require.Equal(t, l, got)
		require.Equal(t, p.GetChunked(), chunked)
	})
}

func FuzzDecodeListed(f *testing.F) {
	b, err := proto.Marshal(convert.Listed(meta.Listed{Version: meta.Version{Timestamp: 7, ID: uuid.UUID{1}}, Size: 9, ETag: "e"}))
	require.NoError(f, err)
	f.Add(b)
	f.Add([]byte{0x1a, 3, 1, 2, 3})
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := decodeListed(b, new(meta.Listed)); err != nil {
			require.Equal(t, errors.Corrupted, errors.KindOf(err))
		}
	})
}

func TestKeysKeepTheirOrderWhenEscaped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xff}), 0, 4)
		a, b := key.Draw(t, "a"), key.Draw(t, "b")
		bucket := uuid.UUID{1}
		rowA, rowB := multipartRow(bucket, string(a), uuid.Max), multipartRow(bucket, string(b), uuid.Nil)
		if string(a) < string(b) {
			require.Less(t, string(rowA), string(rowB))
		}
		require.Equal(t, string(a), string(multipartKey(rowA)))
	})
}
