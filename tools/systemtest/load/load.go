package load

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"deuxfleurs.fr/garage/tools/s3client"
)

// Sizes lie on both sides of every threshold of the store (inline, index, file, chunk), small ones more often.
var Sizes = []int{
	0, 1, 100, 1 << 10, 1<<10 + 1, 4<<10 - 1, 4 << 10, 4<<10 + 1, 10_000, 32<<10 - 1, 32 << 10, 32<<10 + 1, 64<<10 - 1, 64 << 10, 64<<10 + 1,
	300_000, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3<<20 + 7,
}

// Config describes a load.
type Config struct {
	Client *s3client.Client
	// Bucket must exist and hold nothing under the keys of the load.
	Bucket string
	Seed   uint64
	// Workers send one request at a time each; Keys is how many keys they share.
	Workers, Keys int
	// Sizes replaces [Sizes].
	Sizes []int
	// Timeout bounds one request; default 30 s.
	Timeout time.Duration
}

// Failure is a request that got no answer, or one that a healthy service does not give.
type Failure struct {
	Operation string
	At        time.Duration
	Status    int
	Code      string
	Err       error
}

func (f Failure) String() string {
	if f.Err != nil {
		return fmt.Sprintf("%v after the start: %s: %v", f.At.Round(time.Millisecond), f.Operation, f.Err)
	}
	return fmt.Sprintf("%v after the start: %s: %d %s", f.At.Round(time.Millisecond), f.Operation, f.Status, f.Code)
}

// Load is one load and its history.
type Load struct {
	Config
	start  time.Time
	done   atomic.Int64
	rounds atomic.Uint64

	mu       sync.Mutex
	history  map[string][]entry
	bodies   map[string]body
	failures []Failure
	wrong    []error
	equal    map[int][]byte
}

// body is what is known of the bytes behind an ETag.
type body struct {
	size int
	md5  [md5.Size]byte
}

// New returns a load that has not begun.
func New(c Config) *Load {
	if c.Sizes == nil {
		c.Sizes = Sizes
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	return &Load{
		Config: c, start: time.Now(), history: map[string][]entry{}, bodies: map[string]body{}, equal: map[int][]byte{},
	}
}

// Key returns the name of key i: keys share prefixes, so that listing has something to group.
func Key(i int) string { return fmt.Sprintf("p%d/key %03d+é", i%3, i) }

// source returns the key of a body that is never overwritten, for server-side copies.
func source(i int) string { return fmt.Sprintf("sources/%d", i) }

const sources = 4

// Prepare stores what copies are made from, as patiently as S3 clients are. It comes before the first [Load.Run].
func (l *Load) Prepare(ctx context.Context) error {
	rng := rand.New(rand.NewPCG(l.Seed, math.MaxUint64))
	for i := range sources {
		data := randomBody(rng, []int{10, 40_000, 1<<20 + 5, 3 << 20}[i])
		l.remember(etagOf(data), data)
		resp, _, err := l.Client.Patiently(ctx, s3client.Request{Method: "PUT", Bucket: l.Bucket, Key: source(i), Body: data})
		if err != nil {
			return err
		}
		if resp.Status != 200 {
			return fmt.Errorf("put %s: %d %s: %s", source(i), resp.Status, resp.Code, resp.Body)
		}
		l.mu.Lock()
		l.equal[-1-i] = data
		l.mu.Unlock()
	}
	return nil
}

// Run sends operations until each worker has sent its number, or the context is done, and returns when all workers have ended.
// With stopAtFailure a worker ends at its first request without answer. Run may be called again.
func (l *Load) Run(ctx context.Context, operations int, stopAtFailure bool) {
	var wg sync.WaitGroup
	round := l.rounds.Add(1)
	for w := range l.Workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(l.Seed+round, uint64(w)))
			for range operations {
				if ctx.Err() != nil {
					return
				}
				ok := l.one(ctx, rng)
				l.done.Add(1)
				if !ok && stopAtFailure {
					return
				}
			}
		})
	}
	wg.Wait()
}

// Done returns how many operations have ended.
func (l *Load) Done() int64 { return l.done.Load() }

// Failures returns what failed until now.
func (l *Load) Failures() []Failure {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Failure{}, l.failures...)
}

// ReadBack reads every key and the whole listing into the history. It returns the first request that fails.
func (l *Load) ReadBack(ctx context.Context) error {
	before := len(l.Failures())
	for i := range l.Keys {
		l.get(ctx, Key(i), "")
	}
	for prefix := range 3 {
		l.list(ctx, prefix, 1000)
	}
	if failures := l.Failures(); len(failures) > before {
		return fmt.Errorf("read back: %v", failures[before])
	}
	for i := range sources {
		resp, err := l.Client.Do(ctx, s3client.Request{Method: "GET", Bucket: l.Bucket, Key: source(i)})
		if err != nil {
			return err
		}
		if resp.Status != 200 || string(resp.Body) != string(l.equal[-1-i]) {
			return fmt.Errorf("%s came back with status %d and other bytes", source(i), resp.Status)
		}
	}
	return nil
}

// Wrong returns answers that are wrong whatever the order of operations: bytes that were never sent under that ETag, bodies that do
// not match it, statuses that S3 does not give.
func (l *Load) Wrong() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.wrong...)
}

func (l *Load) now() time.Duration { return time.Since(l.start) }

func (l *Load) fail(operation string, resp *s3client.Response, err error) {
	f := Failure{Operation: operation, At: l.now(), Err: err}
	if err == nil {
		f.Status, f.Code = resp.Status, resp.Code
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, f)
}

func (l *Load) isWrong(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Errorf(format, args...))
}

func (l *Load) remember(etag string, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bodies[etag] = body{len(data), md5.Sum(data)}
}

// newBody draws a body; every fourth is equal to others of its size, on purpose.
func (l *Load) newBody(rng *rand.Rand) []byte {
	size := l.Sizes[rng.IntN(len(l.Sizes))]
	if rng.IntN(4) > 0 {
		return randomBody(rng, size)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.equal[size] == nil {
		l.equal[size] = randomBody(rng, size)
	}
	return l.equal[size]
}

func randomBody(rng *rand.Rand, size int) []byte {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rng.Uint32())
	}
	data := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(data)
	return data
}

func etagOf(data []byte) string {
	sum := md5.Sum(data)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}
