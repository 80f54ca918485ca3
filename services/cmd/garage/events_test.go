package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// happening is a server on which events happen. It gives them in small pages.
type happening struct {
	adminv1.UnimplementedAdminServiceServer

	mu     sync.Mutex
	events []*adminv1.Event // newest first
}

const smallPage = 3

func (h *happening) happen(id string, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append([]*adminv1.Event{{Id: id, Time: timestamppb.New(at), Kind: adminv1.EventKind_EVENT_KIND_NODE, Severity: adminv1.Severity_SEVERITY_WARNING, Text: "node " + id}}, h.events...)
}

func (h *happening) ListEvents(_ context.Context, r *adminv1.ListEventsRequest) (*adminv1.ListEventsResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	from, _ := strconv.Atoi(r.GetCursor())
	answer := &adminv1.ListEventsResponse{}
	for i := from; i < len(h.events); i++ {
		e := h.events[i]
		if r.GetSince() != nil && e.GetTime().AsTime().Before(r.GetSince().AsTime()) {
			continue
		}
		if len(answer.Events) == min(smallPage, int(r.GetLimit())) {
			answer.Next = strconv.Itoa(i)
			break
		}
		answer.Events = append(answer.Events, e)
	}
	return answer, nil
}

func happenings(t *testing.T) *happening {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h, server := &happening{}, grpc.NewServer()
	adminv1.RegisterAdminServiceServer(server, h)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); require.NoError(t, <-served) })
	t.Setenv("GARAGE_ADMIN", listener.Addr().String())
	t.Setenv("GARAGE_ADMIN_TOKEN", "token-of-the-tests")
	return h
}

func TestEventsAreShownOldestFirst(t *testing.T) {
	h := happenings(t)
	now := time.Now()
	for i := range 10 {
		h.happen(fmt.Sprint(i), now.Add(time.Duration(i-10)*time.Hour))
	}
	for args, want := range map[string][]string{
		"":                     {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
		"--limit=4":            {"6", "7", "8", "9"},
		"--since=150m":         {"8", "9"},
		"--since=9d":           {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
		"--since=9d --limit=1": {"9"},
	} {
		var out bytes.Buffer
		line := []string{"events", "--json"}
		for _, word := range bytes.Fields([]byte(args)) {
			line = append(line, string(word))
		}
		require.Zero(t, execute(newRoot(&out, io.Discard), line))
		var answer eventsJSON
		require.NoError(t, json.Unmarshal(out.Bytes(), &answer))
		var ids []string
		for _, e := range answer.Events {
			ids = append(ids, e.ID)
		}
		require.Equal(t, want, ids, args)
	}
	for _, args := range []string{"--since=soon", "--kind=party", "--severity=bad", "--limit=-1"} {
		require.Equal(t, exitWrong, execute(newRoot(io.Discard, io.Discard), []string{"events", args}), args)
	}
}

func TestAFollowerIsToldEachEventOnceAndEndsInOrder(t *testing.T) {
	h := happenings(t)
	now := time.Now()
	h.happen("old", now.Add(-time.Hour))
	h.happen("new", now)
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	cmd := &cobra.Command{}
	cmd.SetOut(write)
	cmd.SetContext(ctx)
	q := &eventsQuery{connection: &connection{json: true}, follow: true, limit: eventsShown, every: time.Millisecond}
	ended := make(chan error, 1)
	go func() { ended <- q.run(cmd); _ = write.Close() }()
	lines := bufio.NewScanner(read)
	next := func() string {
		require.True(t, lines.Scan())
		var e eventJSON
		require.NoError(t, json.Unmarshal(lines.Bytes(), &e), "each event is a line")
		return e.ID
	}
	require.Equal(t, "old", next())
	require.Equal(t, "new", next())
	h.happen("later", time.Now())
	require.Equal(t, "later", next())
	h.happen("of a slow clock", time.Now().Add(-time.Minute))
	require.Equal(t, "of a slow clock", next(), "rebalancers have clocks of their own")
	for i := range 2 * smallPage {
		h.happen(fmt.Sprint(i), time.Now())
	}
	told := map[string]bool{}
	for range 2 * smallPage {
		told[next()] = true
	}
	require.Len(t, told, 2*smallPage, "none twice, and none is left out")
	cancel()
	require.NoError(t, <-ended)
	require.False(t, lines.Scan())
}

func TestTimesAreReadAsPeopleWriteThem(t *testing.T) {
	now := time.Date(2026, 5, 10, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2h":                   now.Add(-2 * time.Hour),
		"90m":                  now.Add(-90 * time.Minute),
		"3d":                   now.AddDate(0, 0, -3),
		"2026-05-01":           time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC),
		"2026-05-01T10:30":     time.Date(2026, 5, 1, 10, 30, 0, 0, time.UTC),
		"2026-05-01 10:30:20":  time.Date(2026, 5, 1, 10, 30, 20, 0, time.UTC),
		"2026-05-01T12:00:00Z": time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC),
	} {
		at, err := parseTime(text, now)
		require.NoError(t, err, text)
		require.True(t, want.Equal(at), "%s: %v", text, at)
	}
	for _, text := range []string{"", "soon", "-2h", "-3d", "3 d", "3dx", "2026-13-01"} {
		_, err := parseTime(text, now)
		require.Error(t, err, text)
	}
}
