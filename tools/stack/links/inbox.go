package links

import (
	"container/heap"
	"context"
	"io"
	"sync"
	"time"
)

// waiting bounds the packets on their way to one site.
const waiting = 1 << 16

// packet arrives when it is due.
type packet struct {
	due  time.Time
	turn uint64 // decides between equal times
	data []byte
}

type packets []packet

func (p packets) Len() int { return len(p) }
func (p packets) Less(i, j int) bool {
	return p[i].due.Before(p[j].due) || p[i].due.Equal(p[j].due) && p[i].turn < p[j].turn
}
func (p packets) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p *packets) Push(x any)   { *p = append(*p, x.(packet)) }
func (p *packets) Pop() any {
	old := *p
	last := old[len(old)-1]
	old[len(old)-1] = packet{}
	*p = old[:len(old)-1]
	return last
}

// inbox is what is on its way to a site.
type inbox struct {
	mu      sync.Mutex
	packets packets
	turn    uint64
	sooner  chan struct{} // told when another packet is the first
}

func newInbox() *inbox { return &inbox{sooner: make(chan struct{}, 1)} }

// add takes a packet, or says that too many are on their way.
func (b *inbox) add(due time.Time, data []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.packets) == waiting {
		return false
	}
	b.turn++
	heap.Push(&b.packets, packet{due, b.turn, data})
	if b.packets[0].turn == b.turn {
		select {
		case b.sooner <- struct{}{}:
		default: // told already
		}
	}
	return true
}

// next returns a packet that is due, or how long it is until one is; false if there is none.
func (b *inbox) next(now time.Time) (data []byte, wait time.Duration, any bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.packets) == 0 {
		return nil, 0, false
	}
	if wait := b.packets[0].due.Sub(now); wait > 0 {
		return nil, wait, true
	}
	return heap.Pop(&b.packets).(packet).data, 0, true
}

// deliver writes each packet when it is due, until ctx ends or the device is closed.
func (b *inbox) deliver(ctx context.Context, to io.Writer) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		data, wait, any := b.next(time.Now())
		if data != nil {
			if _, err := to.Write(data); err != nil {
				return err
			}
			continue
		}
		var due <-chan time.Time
		if any {
			timer.Reset(wait)
			due = timer.C
		}
		select {
		case <-ctx.Done():
			return nil
		case <-b.sooner:
		case <-due:
		}
	}
}
