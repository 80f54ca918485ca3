//go:build stack

package cql

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
)

// farAway dials the database as if it were some way off: statements of one wait overlap then, and
// those that follow each other do not.
type farAway struct{ delay time.Duration }

func (d farAway) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	far := &farConn{Conn: conn, arrived: make(chan arrival, 1<<12), closed: make(chan struct{})}
	go far.receive(d.delay) // ends when the connection does
	return far, nil
}

// farConn hands on what arrives after a delay.
type farConn struct {
	net.Conn
	arrived chan arrival
	closed  chan struct{}
	rest    []byte
}

type arrival struct {
	data []byte
	due  time.Time
	err  error
}

func (c *farConn) receive(delay time.Duration) {
	for {
		buffer := make([]byte, 16<<10)
		n, err := c.Conn.Read(buffer)
		select {
		case c.arrived <- arrival{buffer[:n], time.Now().Add(delay), err}:
		case <-c.closed:
			return
		}
		if err != nil {
			return
		}
	}
}

func (c *farConn) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		select {
		case a := <-c.arrived:
			if c.rest = a.data; a.err != nil {
				return 0, a.err
			}
			select {
			case <-time.After(time.Until(a.due)):
			case <-c.closed:
				return 0, net.ErrClosed
			}
		case <-c.closed:
			return 0, net.ErrClosed
		}
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *farConn) Close() error {
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return c.Conn.Close()
}

// SetReadDeadline does nothing: the driver's own deadlines end what waits for an answer.
func (c *farConn) SetReadDeadline(time.Time) error { return nil }

// farStore is a store some way off its database.
func farStore(t *testing.T) *Store {
	c := testConfig(t, clock.System{})
	// Long, so that what a lease covers is covered with the delay too.
	c.Lease, c.dialer = 20*time.Second, farAway{25 * time.Millisecond}
	return openWith(t, c)
}

// waits is how many statements an operation waits for one after the other: the least of some tries, as a slow machine can only add to them.
func waits(t *testing.T, operation func(ctx context.Context)) int {
	t.Helper()
	least := 1 << 30
	for range 5 {
		c := &call{}
		operation(context.WithValue(context.Background(), callKey{}, c))
		least = min(least, c.waits)
	}
	return least
}

func TestOperationsTakeFewRoundTrips(t *testing.T) {
	s := farStore(t)
	ctx := context.Background()
	bucket := uuid.New()
	require.NoError(t, s.CreateBucket(ctx, meta.Bucket{ID: bucket, Name: bucket.String()}))
	put := func(ctx context.Context, key string, c meta.Condition) {
		_, err := s.PutObject(ctx, meta.Put{Bucket: bucket, Key: key, Size: 1, ETag: "e", Inline: []byte("x"), Condition: c})
		require.NoError(t, err)
	}
	put(ctx, "warm", meta.Condition{})
	begin := func(ctx context.Context, multipart bool) meta.UploadRef {
		id, err := meta.NewUploadID(time.Now(), clock.SystemRandom)
		require.NoError(t, err)
		r := meta.UploadRef{Bucket: bucket, Key: "upload", ID: id}
		require.NoError(t, s.BeginUpload(ctx, meta.Upload{UploadRef: r, Multipart: multipart}))
		return r
	}
	chunks := []meta.Chunk{{Length: 1, Hash: chunk.Hash{1}}, {Offset: 1, Length: 1, Hash: chunk.Hash{2}}}

	t.Run("GET: one", func(t *testing.T) {
		require.Equal(t, 1, waits(t, func(ctx context.Context) {
			_, err := s.Object(ctx, bucket, "warm")
			require.NoError(t, err)
		}))
	})
	t.Run("PUT of a small object: one", func(t *testing.T) {
		require.Equal(t, 1, waits(t, func(ctx context.Context) { put(ctx, "small", meta.Condition{}) }))
	})
	t.Run("PUT of a large object: one beside the data and one after it, and GET of it one, and one for all its chunks", func(t *testing.T) {
		for range 2 {
			var r meta.UploadRef
			require.Equal(t, 1, waits(t, func(ctx context.Context) { r = begin(ctx, false) }))
			require.Equal(t, 1, waits(t, func(ctx context.Context) {
				require.NoError(t, s.AddChunks(ctx, r, r.ID, chunks[:1]))
			}))
			require.Equal(t, 1, waits(t, func(ctx context.Context) {
				r := begin(context.Background(), false)
				_, err := s.PutObject(ctx, meta.Put{Bucket: bucket, Key: r.Key, Upload: r.ID, Size: 2, ETag: "e", First: chunks[0], Chunks: chunks})
				require.NoError(t, err)
			}))
		}
		require.Equal(t, 1, waits(t, func(ctx context.Context) {
			o, err := s.Object(ctx, bucket, "upload")
			require.NoError(t, err)
			c := &call{}
			all, err := s.Chunks(context.WithValue(ctx, callKey{}, c), o.Parts[0].Attempt, 0, 1000)
			require.NoError(t, err)
			require.Len(t, all, 2)
			require.LessOrEqual(t, c.waits, 2)
		}))
	})
	t.Run("UploadPart: one beside the data and two after it", func(t *testing.T) {
		r := begin(ctx, true)
		attempts := make(chan uuid.UUID, 100)
		require.Equal(t, 1, waits(t, func(ctx context.Context) {
			attempt := uuid.New()
			require.NoError(t, s.BeginPart(ctx, r, 1, attempt))
			attempts <- attempt
		}))
		require.LessOrEqual(t, waits(t, func(ctx context.Context) {
			_, err := s.FinishPart(ctx, r, meta.Part{Number: 1, Attempt: <-attempts, Size: 2, ETag: "e", First: chunks[0]}, chunks)
			require.NoError(t, err)
		}), 2)
	})
	t.Run("DELETE: two, and one where there is nothing", func(t *testing.T) {
		remove := func(ctx context.Context, key string) {
			results, err := s.DeleteObjects(ctx, bucket, []meta.Delete{{Key: key}})
			require.NoError(t, err)
			require.NoError(t, results[0].Err)
		}
		require.LessOrEqual(t, waits(t, func(ctx context.Context) {
			put(context.Background(), "gone", meta.Condition{})
			remove(ctx, "gone")
		}), 2)
		require.LessOrEqual(t, waits(t, func(ctx context.Context) { remove(ctx, "nothing") }), 1)
	})
	t.Run("Conditional PUT: a look, the claim, a look, the decision, the row, the end of the claim", func(t *testing.T) {
		require.LessOrEqual(t, waits(t, func(ctx context.Context) { put(ctx, "small", meta.Condition{IfMatch: []string{"e"}}) }), 6)
	})
	t.Run("A page of a listing: one", func(t *testing.T) {
		require.Equal(t, 1, waits(t, func(ctx context.Context) {
			_, err := s.List(ctx, meta.List{Bucket: bucket, Limit: 1000})
			require.NoError(t, err)
		}))
	})
	t.Run("GET with cold caches: two", func(t *testing.T) {
		other := farStore(t)
		require.LessOrEqual(t, waits(t, func(ctx context.Context) {
			other.buckets.forget(bucket)
			_, err := other.Object(ctx, bucket, "warm")
			require.NoError(t, err)
		}), 2)
	})
}

func TestOperationsAreMeasured(t *testing.T) {
	c := testConfig(t, clock.System{})
	registry := prometheus.NewRegistry()
	c.Registry = registry
	s := openWith(t, c)
	store := s.Measured()
	_, err := store.Bucket(context.Background(), "there is no such bucket")
	require.Error(t, err)
	n, err := testutil.GatherAndCount(registry, "garage_cql_operation_waits", "garage_cql_operation_requests", "garage_cql_request_duration_seconds")
	require.NoError(t, err)
	require.GreaterOrEqual(t, n, 3)
}
