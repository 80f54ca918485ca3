package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"deuxfleurs.fr/garage/pkg/errors"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

const (
	// heartbeat is how often somebody who follows hears something, also when nothing changes; a page that hears nothing for
	// three times as long says so.
	heartbeat = 10 * time.Second
	// writeTimeout is how long a browser may take nothing.
	writeTimeout = 10 * time.Second
	lookTimeout  = 10 * time.Second
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
		Copies     []uint32 `json:"copies,omitempty"`
		Partitions uint64   `json:"partitions,omitempty"`
		Verdict    Verdict  `json:"verdict"`
	}
	status, err := c.api.GetStatus(ctx, &adminv1.GetStatusRequest{})
	if err == nil {
		seen.Status, err = inJSON.Marshal(status)
	}
	if err != nil {
		seen.Status, seen.Verdict = nil, unknown(err)
	} else {
		c.partitions(ctx)
		seen.Verdict = Judge(status, c.seen)
		seen.Copies, seen.Partitions = c.seen.GetByCopies(), c.seen.GetRevision()
		// Where it is not known how much there is to do, nothing is shown of it.
		if traffic, err := c.api.GetTraffic(ctx, &adminv1.GetTrafficRequest{}); err == nil {
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

// events sends the status whenever it changed, until the session ends or who follows goes.
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
		if err := control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.IsTarget(err, http.ErrNotSupported) {
			return false
		}
		_, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, data)
		return err == nil && control.Flush() == nil
	}
	beat := c.deps.Clock.NewTimer(heartbeat)
	defer beat.Stop()
	for ok := write("hello", []byte("{}")); ok; {
		select {
		case content := <-follower:
			ok = write("status", content)
		case <-beat.C():
			beat.Reset(heartbeat)
			ok = write("alive", []byte("{}"))
		case <-s.ended:
			write("ended", []byte("{}"))
			return
		case <-c.stopped:
			return
		case <-r.Context().Done():
			return
		}
	}
}
