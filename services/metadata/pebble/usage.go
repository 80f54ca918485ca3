package pebble

import (
	"encoding/binary"
	"io"
	"sync/atomic"

	cockroach "github.com/cockroachdb/pebble/v2"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// A value of the usage table is three signed varints: objects, bytes, uploads. A
// batch merges its difference into it.
func appendUsage(b []byte, u meta.Usage) []byte {
	b = binary.AppendVarint(b, u.Objects)
	b = binary.AppendVarint(b, u.Bytes)
	return binary.AppendVarint(b, u.Uploads)
}

func parseUsage(b []byte) (meta.Usage, error) {
	var n [3]int64
	for i := range n {
		v, size := binary.Varint(b)
		if size <= 0 {
			return meta.Usage{}, errors.Newf(errors.Corrupted, "a usage total in the metadata is damaged")
		}
		n[i], b = v, b[size:]
	}
	return meta.Usage{Objects: n[0], Bytes: n[1], Uploads: n[2]}, nil
}

func add(a, b meta.Usage) meta.Usage {
	return meta.Usage{Objects: a.Objects + b.Objects, Bytes: a.Bytes + b.Bytes, Uploads: a.Uploads + b.Uploads}
}

// usageMerger adds. Its name is written into the database.
var usageMerger = &cockroach.Merger{
	Name: "garage.usage.v1",
	Merge: func(_, value []byte) (cockroach.ValueMerger, error) {
		u, err := parseUsage(value)
		return &usageSum{u}, err
	},
}

type usageSum struct{ meta.Usage }

func (s *usageSum) MergeNewer(value []byte) error {
	u, err := parseUsage(value)
	s.Usage = add(s.Usage, u)
	return err
}

func (s *usageSum) MergeOlder(value []byte) error { return s.MergeNewer(value) }

func (s *usageSum) Finish(bool) ([]byte, io.Closer, error) {
	return appendUsage(nil, s.Usage), nil, nil
}

// counters mirror a usage row in memory.
type counters struct{ objects, bytes, uploads atomic.Int64 }

func (c *counters) add(u meta.Usage) {
	c.objects.Add(u.Objects)
	c.bytes.Add(u.Bytes)
	c.uploads.Add(u.Uploads)
}

func (c *counters) load() meta.Usage {
	return meta.Usage{Objects: c.objects.Load(), Bytes: c.bytes.Load(), Uploads: c.uploads.Load()}
}
