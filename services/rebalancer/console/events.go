package console

import (
	"context"
	"encoding/json"
	"fmt"
	"math/bits"
	"net/http"
	"time"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

const (
	// heartbeat is how often somebody who follows hears something, also when nothing changes; a page that hears nothing for
	// three times as long says so.
	heartbeat   = 10 * time.Second
	lookTimeout = 10 * time.Second
)

// look asks how the cluster is, and returns that as JSON.
func (c *Console) look(ctx context.Context) []byte {
	ctx, cancel := context.WithTimeout(c.deps.As(ctx, ownName, ""), lookTimeout)
	defer cancel()
	c.sessions.check()
	var seen struct {
		Status  json.RawMessage `json:"status,omitempty"`
		Traffic json.RawMessage `json:"traffic,omitempty"`
		// Copies says how many partitions have 0, 1, 2 … good copies, and Partitions which revision of them that is.
		// It is a text, as in the answer of GetPartitions: numbers of scripts have 53 bits.
		Copies     []uint32 `json:"copies,omitempty"`
		Partitions uint64   `json:"partitions,omitempty,string"`
		Verdict    Verdict  `json:"verdict"`
	}
	status, err := c.api.GetStatus(ctx, &adminv1.GetStatusRequest{})
	if err != nil {
		seen.Verdict = unknown(err)
	} else {
		c.partitions(ctx)
		seen.Verdict = Judge(status, c.seen)
		seen.Copies, seen.Partitions = c.seen.GetByCopies(), c.seen.GetRevision()
		calmStatus(status)
		if seen.Status, err = inJSON.Marshal(status); err != nil {
			seen.Status, seen.Verdict = nil, unknown(err)
		}
		// Where it is not known how much there is to do, nothing is shown of it.
		if traffic, err := c.api.GetTraffic(ctx, &adminv1.GetTrafficRequest{}); err == nil {
			calmTraffic(traffic)
			seen.Traffic, err = inJSON.Marshal(traffic)
			if err != nil {
				seen.Traffic = nil
			}
		}
	}
	content, err := json.Marshal(seen)
	if err != nil {
		return nil // numbers and texts can always be written
	}
	return content
}

// What is seen is sent to all who follow whenever it differs: so what differs each time, and says nothing new, is left out.

// calmStatus rounds the room on disks to what people read of it: all that is written beside Garage changes it.
func calmStatus(s *adminv1.GetStatusResponse) {
	for _, n := range s.GetNodes() {
		n.Capacity, n.Free = rounded(n.GetCapacity()), rounded(n.GetFree())
		for _, d := range n.GetDisks() {
			d.Capacity, d.Free = rounded(d.GetCapacity()), rounded(d.GetFree())
		}
	}
}

// calmTraffic leaves out when counters were told.
func calmTraffic(t *adminv1.GetTrafficResponse) {
	for _, s := range t.GetServices() {
		s.At = nil
	}
}

// rounded is a number of bytes with ten significant bits, a difference of two in a thousand at most.
func rounded(n int64) int64 {
	if shift := bits.Len64(uint64(max(n, 0))) - 10; shift > 0 {
		return n >> shift << shift
	}
	return n
}

// partitions brings c.seen up to date. It is only called by the feed's loop.
func (c *Console) partitions(ctx context.Context) {
	p, err := c.api.GetPartitions(ctx, &adminv1.GetPartitionsRequest{Revision: c.seen.GetRevision()})
	switch {
	case err != nil:
		c.deps.Logger.DebugContext(ctx, "the partitions are not known", "error", err)
		c.seen = nil
	case len(p.GetPartitions()) > 0 || p.GetRevision() != c.seen.GetRevision():
		c.seen = p
	}
}

// events sends the status whenever it changed, as long as who follows is an operator, until the session ends or they go.
func (c *Console) events(w http.ResponseWriter, r *http.Request, s *session) {
	follower, err := c.feed.join()
	if err != nil {
		fail(w, err)
		return
	}
	defer c.feed.leave(follower)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // proxies hand it on at once
	control := http.NewResponseController(w)
	write := func(event string, data []byte) bool {
		_, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, data)
		return err == nil && control.Flush() == nil
	}
	tell := func(event string, data []byte) bool { return c.still(r, s) == nil && write(event, data) }
	beat := c.deps.Clock.NewTimer(heartbeat)
	defer beat.Stop()
	for ok := write("hello", []byte("{}")); ok; {
		select {
		case content := <-follower:
			ok = tell("status", content)
		case <-beat.C():
			beat.Reset(heartbeat)
			ok = tell("alive", []byte("{}"))
		case <-s.ended:
			ok = false
		case <-c.stopped:
			return
		case <-r.Context().Done():
			return
		}
	}
	select {
	case <-s.ended:
		write("ended", []byte("{}"))
	default: // who follows has gone, or it is not known whether they may; they ask again
	}
}
