package events

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

func open(t *testing.T, folder string) *Log {
	t.Helper()
	l, err := Open(DefaultConfig(), Deps{Folder: folder, Self: "me", Clock: clock.NewManual(noon), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return l
}

// running is a log whose Run lasts until stop is called.
func runLog(t *testing.T, l *Log) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { l.Run(ctx) })
	stop = func() { cancel(); work.Wait() }
	t.Cleanup(stop)
	return stop
}

func said(text string) *adminv1.Event {
	return event(adminv1.EventKind_EVENT_KIND_NODE, info, "someone", "%s", text)
}

func listed(t *testing.T, l *Log, q Query) (all []string) {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 100
	}
	events, _, err := l.List(t.Context(), q)
	require.NoError(t, err)
	for _, e := range events {
		all = append(all, e.GetText())
	}
	return all
}

func TestWhatIsNotedIsThereAfterANewStart(t *testing.T) {
	folder := t.TempDir()
	l := open(t, folder)
	l.Note(said("before it runs"))
	stop := runLog(t, l)
	require.NoError(t, l.NoteDurably(t.Context(), said("durable")))
	require.Equal(t, []string{"durable", "before it runs"}, listed(t, l, Query{}))
	l.Note(said("at the end"))
	stop()
	l.Note(said("after the end"))
	require.NoError(t, l.NoteDurably(t.Context(), said("after the end, durable")))
	want := []string{"after the end, durable", "after the end", "at the end", "durable", "before it runs"}
	require.Equal(t, want, listed(t, l, Query{}))
	l = open(t, folder)
	require.Equal(t, want, listed(t, l, Query{}))
	events, next, err := l.List(t.Context(), Query{Limit: 2})
	require.NoError(t, err)
	require.Equal(t, "me/5", events[0].GetId())
	require.Equal(t, noon.UTC(), events[0].GetTime().AsTime())
	require.Equal(t, want[2:], listed(t, l, Query{Before: next}))
}

func TestEventsAreChosen(t *testing.T) {
	l := open(t, t.TempDir())
	runLog(t, l)
	one := func(kind adminv1.EventKind, s adminv1.Severity, subject string, after time.Duration) {
		e := event(kind, s, subject, "%v %v", subject, after)
		e.Time = timestamppb.New(noon.Add(after))
		require.NoError(t, l.NoteDurably(t.Context(), e))
	}
	one(adminv1.EventKind_EVENT_KIND_NODE, severe, "attic", 0)
	one(adminv1.EventKind_EVENT_KIND_AUDIT, info, "", 2*time.Hour)
	one(adminv1.EventKind_EVENT_KIND_NODE, info, "cellar", 3*time.Hour)
	one(adminv1.EventKind_EVENT_KIND_DISK, warning, "attic", 4*time.Hour)
	require.Equal(t, []string{"cellar 3h0m0s", "attic 0s"}, listed(t, l, Query{Kinds: []adminv1.EventKind{adminv1.EventKind_EVENT_KIND_NODE}}))
	require.Equal(t, []string{"attic 4h0m0s", "attic 0s"}, listed(t, l, Query{Least: warning}))
	require.Equal(t, []string{"attic 4h0m0s", "attic 0s"}, listed(t, l, Query{Subject: "attic"}))
	require.Equal(t, []string{"attic 4h0m0s", "cellar 3h0m0s"}, listed(t, l, Query{Since: noon.Add(3 * time.Hour)}))
}

func TestAQueueThatIsFullDelaysNobodyAndSaysWhatIsMissing(t *testing.T) {
	l := open(t, t.TempDir())
	stop := runLog(t, l)
	require.Eventually(t, func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.running }, time.Minute, time.Millisecond)
	l.writing.Lock() // a disk that does not answer
	for i := range queued + 3 {
		l.Note(said(fmt.Sprint(i)))
	}
	require.True(t, errors.Is(l.NoteDurably(t.Context(), said("too many")), errors.Overloaded))
	l.writing.Unlock()
	stop()
	all := listed(t, l, Query{Limit: 2 * queued})
	require.Len(t, all, queued+1)
	require.Contains(t, all[queued], "4 events before this one were not kept")
}

func TestWhoWaitsForADiskThatFailsIsTold(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "events")
	l := open(t, folder)
	runLog(t, l)
	require.NoError(t, os.RemoveAll(folder))
	require.True(t, errors.Is(l.NoteDurably(t.Context(), said("lost")), errors.Unavailable))
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.NoError(t, l.NoteDurably(t.Context(), said("kept")))
	require.Contains(t, listed(t, l, Query{})[1], "1 events before this one")
}

// Whatever several logs hold, and although new events come between the pages and a log is away for some of them, paging gives each event
// that was there at the beginning once; where all logs answer, the newest first.
func TestPagingThroughSeveralLogsGivesEachEventOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logs := map[string][]*adminv1.Event{} // oldest first
		names := []string{"a", "b", "c"}
		note := func(log string, at int) {
			n := len(logs[log]) + 1
			logs[log] = append(logs[log], &adminv1.Event{Id: fmt.Sprintf("%s/%d", log, n), Time: timestamppb.New(noon.Add(time.Duration(at) * time.Minute))})
		}
		all := 0
		for _, log := range names {
			at := 0
			for range rapid.IntRange(0, 12).Draw(t, "events") {
				at += rapid.IntRange(0, 9).Draw(t, "pause")
				note(log, at)
				all++
			}
		}
		first := map[string]int{}
		for _, log := range names {
			first[log] = len(logs[log])
		}
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		seen := map[string]bool{}
		flaky := rapid.Bool().Draw(t, "flaky")
		cursor := ""
		var last time.Time
		for page := 0; ; page++ {
			from, err := ParseCursor(cursor)
			require.NoError(t, err)
			var pages []Page
			for _, log := range names {
				if flaky && page > 0 && page < 6 && rapid.Bool().Draw(t, "away") && len(pages) > 0 {
					continue
				}
				pages = append(pages, read(log, logs[log], from[log], limit))
			}
			events, next := Merge(from, pages, limit)
			for _, e := range events {
				require.False(t, seen[e.GetId()], e.GetId())
				seen[e.GetId()] = true
				if at := e.GetTime().AsTime(); !flaky && page > 0 {
					require.False(t, at.After(last))
				}
				last = e.GetTime().AsTime()
			}
			if !flaky {
				note(names[page%3], 1000)
			}
			if cursor = next.String(); cursor == "" {
				break
			}
			require.Less(t, page, 200, "it ends")
		}
		for _, log := range names {
			for _, e := range logs[log][:first[log]] {
				require.True(t, seen[e.GetId()], e.GetId())
			}
		}
		require.GreaterOrEqual(t, len(seen), all)
	})
}

// read does what Log.List does.
func read(log string, events []*adminv1.Event, before uint64, limit int) Page {
	p := Page{Log: log, Next: Exhausted}
	for _, e := range slices.Backward(events) {
		if before > 0 && number(e) >= before {
			continue
		}
		if len(p.Events) == limit {
			p.Next = number(e) + 1
			break
		}
		p.Events = append(p.Events, e)
	}
	return p
}

func TestACursorThatNobodyGaveIsRefused(t *testing.T) {
	for _, text := range []string{"x", "!!", "bnVsbA"} {
		_, err := ParseCursor(text)
		require.True(t, errors.Is(err, errors.Invalid), text)
	}
}
