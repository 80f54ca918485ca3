package buffer

import (
	"bytes"
	"context"
	"io"
	"math/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

func TestFilledBufferHoldsTheBytes(t *testing.T) {
	p := NewPool(16*SegmentSize, clock.System{})
	a := p.Open(nil)
	defer a.Close()
	want := make([]byte, 2*SegmentSize+17)
	rand.New(rand.NewSource(1)).Read(want)

	b := a.New()
	require.ErrorIs(t, b.Fill(context.Background(), bytes.NewReader(want), 1<<20), io.EOF)
	require.Equal(t, want, b.Bytes())
	var sliced []byte
	for _, s := range b.Slice(SegmentSize-1, 2*SegmentSize+1) {
		sliced = append(sliced, s...)
	}
	require.Equal(t, want[SegmentSize-1:2*SegmentSize+1], sliced)

	require.Equal(t, 3*SegmentSize, p.Used())
	b.Retain().Release()
	require.Equal(t, 3*SegmentSize, p.Used(), "a reference is left")
	b.Release()
	require.Zero(t, p.Used())
	require.Panics(t, func() { b.Release() })
}

func TestAnAccountHoldsAtMostAQuarter(t *testing.T) {
	p := NewPool(16*SegmentSize, clock.System{})
	a := p.Open(nil)
	b := a.New()
	err := b.Fill(context.Background(), zeros{}, 5*SegmentSize)
	require.True(t, errors.Is(err, errors.Overloaded), "%v", err)
	require.Equal(t, 4*SegmentSize, b.Len())
	b.Release()
	require.Zero(t, p.Used())
}

func TestAWaiterGetsTheSegmentThatIsReleased(t *testing.T) {
	p := NewPool(4*SegmentSize, clock.NewManual(time.Unix(0, 0)))
	held := fillPool(t, p)
	got := make(chan error, 1)
	late := p.Open(nil).New()
	go func() { got <- late.Append(context.Background(), []byte("x")) }()
	waitForWaiters(t, p, 1)
	held[0].Release()
	require.NoError(t, <-got)
	late.Release()
	for _, b := range held[1:] {
		b.Release()
	}
	require.Zero(t, p.Used())
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	p := NewPool(4*SegmentSize, clock.NewManual(time.Unix(0, 0)))
	fillPool(t, p)
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan error, 1)
	go func() { got <- p.Open(nil).New().Append(ctx, []byte("x")) }()
	waitForWaiters(t, p, 1)
	cancel()
	require.True(t, errors.Is(<-got, errors.Canceled))
	waitForWaiters(t, p, 0)
}

func TestTheSlowestAccountIsEvictedWhenMemoryIsShort(t *testing.T) {
	c := clock.NewManual(time.Unix(0, 0))
	p := NewPool(4*SegmentSize, c)
	slow := p.Open(nil)
	evicted := make(chan struct{})
	slowBuffer := slow.New()
	slow.evict = func() { slowBuffer.Release(); close(evicted) }
	require.NoError(t, slowBuffer.Append(context.Background(), []byte("s")))
	for range 3 {
		b := p.Open(func() { t.Error("a faster account was evicted") }).New()
		require.NoError(t, b.Fill(context.Background(), zeros{}, SegmentSize))
	}
	got := make(chan error, 1)
	go func() { got <- p.Open(nil).New().Append(context.Background(), []byte("x")) }()
	waitForWaiters(t, p, 1)
	for c.Timers() == 0 { // the waiter's timer
	}
	c.Advance(evictAfter)
	<-evicted
	require.NoError(t, <-got)
	_, err := slow.New().Tail(context.Background())
	require.True(t, errors.Is(err, errors.Overloaded))
}

func TestWhoWaitsIsNotTakenForSlow(t *testing.T) {
	c := clock.NewManual(time.Unix(0, 0))
	p := NewPool(4*SegmentSize, c)
	var held []*Buffer
	evicted := make(chan int, 4)
	for i := range 4 {
		var b *Buffer
		b = p.Open(func() { evicted <- i; b.Release() }).New()
		require.NoError(t, b.Append(context.Background(), make([]byte, 100-i)))
		held = append(held, b)
	}
	got := make(chan error, 1)
	late := p.Open(func() { evicted <- -1 }).New()
	go func() { got <- late.Append(context.Background(), []byte("x")) }()
	waitForWaiters(t, p, 1)
	for c.Timers() == 0 { // the waiter's timer
	}
	c.Advance(evictAfter)
	require.Equal(t, 3, <-evicted, "the slowest of those that hold something, not the newcomer that has nothing yet")
	require.NoError(t, <-got)
	late.Release()
	for _, b := range held[:3] {
		b.Release()
	}
	require.Zero(t, p.Used())
}

func TestWhoCarriesWhatOthersTookIsEvictedToo(t *testing.T) {
	c := clock.NewManual(time.Unix(0, 0))
	p := NewPool(4*SegmentSize, c)
	held := fillPool(t, p)
	sender := p.Open(func() { held[0].Release() })
	sender.Carry(1, 0)
	got := make(chan error, 1)
	late := p.Open(nil).New()
	go func() { got <- late.Append(context.Background(), []byte("x")) }()
	waitForWaiters(t, p, 1)
	for c.Timers() == 0 { // the waiter's timer
	}
	c.Advance(evictAfter)
	require.NoError(t, <-got)
	late.Release()
	for _, b := range held[1:] {
		b.Release()
	}
	require.Zero(t, p.Used())
}

func TestWhoHasStoppedIsSlowerThanWhoGoesOn(t *testing.T) {
	c := clock.NewManual(time.Unix(0, 0))
	p := NewPool(4*SegmentSize, c)
	held := fillPool(t, p)
	stopped := make(chan struct{})
	was := p.Open(func() { close(stopped); held[0].Release() })
	was.Carry(SegmentSize, 100<<20) // fast, at first
	c.Advance(time.Second)
	now := p.Open(func() { t.Error("it goes on") })
	c.Advance(evictAfter)
	now.Carry(SegmentSize, SegmentSize)
	got := make(chan error, 1)
	late := p.Open(nil).New()
	go func() { got <- late.Append(context.Background(), []byte("x")) }()
	waitForWaiters(t, p, 1)
	for c.Timers() == 0 { // the waiter's timer
	}
	now.Carry(SegmentSize, SegmentSize)
	c.Advance(evictAfter)
	<-stopped
	require.NoError(t, <-got)
}

func fillPool(t *testing.T, p *Pool) []*Buffer {
	var held []*Buffer
	for p.Used() < p.Limit() {
		b := p.Open(nil).New()
		require.NoError(t, b.Append(context.Background(), []byte("x")))
		held = append(held, b)
	}
	return held
}

func waitForWaiters(t *testing.T, p *Pool, n int) {
	require.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.waiters.Len() == n
	}, 10*time.Second, time.Millisecond)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAQuietPoolGivesItsMemoryBack(t *testing.T) {
	c := clock.NewManual(time.Unix(0, 0))
	p := NewPool(16*SegmentSize, c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	b := p.Open(nil).New()
	require.NoError(t, b.Append(context.Background(), []byte("x")))
	b.Release()
	kept := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.free)
	}
	pass := func() {
		require.Eventually(t, func() bool { return c.Timers() == 1 }, time.Minute, time.Millisecond)
		c.Advance(quiet)
		require.Eventually(t, func() bool { return c.Timers() == 1 }, time.Minute, time.Millisecond)
	}
	pass()
	require.Equal(t, 1, kept(), "it was used in this minute")
	pass()
	require.Zero(t, kept())
	cancel()
	require.NoError(t, <-done)
}

func TestAReaderThatGivesNothingIsGivenUp(t *testing.T) {
	b := NewPool(16*SegmentSize, clock.System{}).Open(nil).New()
	defer b.Release()
	require.ErrorIs(t, b.Fill(context.Background(), nothing{}, 1), io.ErrNoProgress)
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }
