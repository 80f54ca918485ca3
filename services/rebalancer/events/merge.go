package events

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"deuxfleurs.fr/garage/pkg/errors"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// Exhausted is Query.Before when nothing is left: numbers begin at 1.
const Exhausted uint64 = 1

// Cursor is how far each log was read, by the ID of its rebalancer: events with lower numbers are still to come. A log that is not in it was
// not read yet.
type Cursor map[string]uint64

// ParseCursor reads what String wrote. Kinds: Invalid.
func ParseCursor(text string) (Cursor, error) {
	c := Cursor{}
	if text == "" {
		return c, nil
	}
	content, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(content, &c)
	}
	if err != nil || c == nil {
		return nil, errors.Newf(errors.Invalid, "%q is no cursor that the page before has given", text)
	}
	return c, nil
}

// String is the cursor for the page after it, empty if all logs are read to their end.
func (c Cursor) String() string {
	more := false
	for _, before := range c {
		more = more || before != Exhausted
	}
	if !more {
		return ""
	}
	content, err := json.Marshal(c)
	if err != nil {
		panic("events: " + err.Error()) // a map of numbers
	}
	return base64.RawURLEncoding.EncodeToString(content)
}

// Page is what one log has answered.
type Page struct {
	Log    string           // ID of the rebalancer
	Events []*adminv1.Event // newest first
	Next   uint64           // what List says
}

// Merge makes one page of those of several logs: up to limit events, the newest first, and the cursor of the next. Those of one log stay in their order.
func Merge(from Cursor, pages []Page, limit int) (events []*adminv1.Event, next Cursor) {
	next = Cursor{}
	for log, before := range from {
		next[log] = before
	}
	at := make([]int, len(pages))
	for len(events) < limit {
		newest := -1
		for i, p := range pages {
			if at[i] < len(p.Events) && (newest < 0 || later(p.Events[at[i]], pages[newest].Events[at[newest]])) {
				newest = i
			}
		}
		if newest < 0 {
			break
		}
		events = append(events, pages[newest].Events[at[newest]])
		at[newest]++
	}
	for i, p := range pages {
		switch {
		case at[i] < len(p.Events):
			next[p.Log] = number(p.Events[at[i]]) + 1
		default:
			next[p.Log] = p.Next
		}
	}
	return events, next
}

func later(a, b *adminv1.Event) bool { return a.GetTime().AsTime().After(b.GetTime().AsTime()) }

// number is that of an event in its log, which its ID ends with.
func number(e *adminv1.Event) uint64 {
	n, err := strconv.ParseUint(e.GetId()[strings.LastIndexByte(e.GetId(), '/')+1:], 10, 64)
	if err != nil {
		return 0 // of another program: its log is read to its end with this page
	}
	return n
}

// Kinds are those of a request, each once. Kinds: Invalid for one that there is not.
func Kinds(asked []adminv1.EventKind) ([]adminv1.EventKind, error) {
	var kinds []adminv1.EventKind
	for _, k := range asked {
		if adminv1.EventKind_name[int32(k)] == "" || k == adminv1.EventKind_EVENT_KIND_UNSPECIFIED {
			return nil, errors.Newf(errors.Invalid, "there are no events of kind %d", k)
		}
		if !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	return kinds, nil
}
