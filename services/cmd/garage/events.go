package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/rpc"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

const (
	// eventsPage is how many events are asked for at a time, and eventsKnown how many a follower remembers to tell none twice.
	eventsPage  = 500
	eventsKnown = 4 * eventsPage

	eventsShown = 50
	followEvery = 2 * time.Second
	// followBack is how far behind the newest event a follower looks: each rebalancer notes events by its own clock.
	followBack = 5 * time.Minute
)

// eventJSON is an event as --json shows it.
type eventJSON struct {
	ID       string            `json:"id"`
	Time     string            `json:"time"`
	Kind     string            `json:"kind"`
	Severity string            `json:"severity"`
	Text     string            `json:"text"`
	Subject  string            `json:"subject"`
	Details  map[string]string `json:"details"`
	Audit    *auditJSON        `json:"audit"` // of the kind audit

	at time.Time
}

type auditJSON struct {
	Actor     string `json:"actor"`
	From      string `json:"from"`
	Method    string `json:"method"`
	Arguments string `json:"arguments"`
	Error     string `json:"error"`
}

// eventsJSON is the events that were asked for, oldest first, and what is missing.
type eventsJSON struct {
	Events   []eventJSON `json:"events"`
	Problems []string    `json:"problems"`
}

func newEventJSON(e *adminv1.Event) eventJSON {
	v := eventJSON{ID: e.GetId(), Time: timeText(e.GetTime()), Kind: rpc.EnumText(e.GetKind()), Severity: rpc.EnumText(e.GetSeverity()),
		Text: e.GetText(), Subject: e.GetSubject(), Details: e.GetDetails(), at: e.GetTime().AsTime()}
	if a := e.GetAudit(); a != nil {
		v.Audit = &auditJSON{a.GetActor(), a.GetFrom(), a.GetMethod(), a.GetArguments(), a.GetError()}
	}
	return v
}

func (e eventJSON) row(w io.Writer) {
	row(w, e.Time, e.Severity, e.Kind, strings.ReplaceAll(e.Text, "\n", " "))
}

// eventsQuery is the command line of events.
type eventsQuery struct {
	connection *connection
	follow     bool
	since      string
	kinds      []string
	subject    string
	least      string
	limit      int
	every      time.Duration // between two looks of a follower
	request    adminv1.ListEventsRequest
}

func newEvents() *cobra.Command {
	q := &eventsQuery{connection: &connection{}, every: followEvery}
	cmd := &cobra.Command{
		Use: "events [--follow] [--since TIME]", Short: "Tell what happened, and who changed what", Args: cobra.NoArgs,
		Long: `Tell what happened, and who changed what: the last events, the newest at the end.

With --follow it goes on with those that happen, until Ctrl-C; with --json each is then one line.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := q.read(time.Now()); err != nil {
				return err
			}
			if q.since != "" && !cmd.Flags().Changed("limit") {
				q.limit = 0
			}
			if q.follow {
				return q.run(cmd)
			}
			events, problems, err := q.list(cmd, q.limit)
			if err != nil {
				return err
			}
			v := &eventsJSON{Events: events, Problems: problems}
			return q.connection.show(cmd, v, func(w io.Writer) {
				for _, e := range v.Events {
					e.row(w)
				}
				if len(v.Events) == 0 {
					row(w, "nothing has happened")
				}
				for _, p := range v.Problems {
					row(w, "not asked: "+p)
				}
			})
		},
	}
	q.connection.addFlags(cmd)
	f := cmd.Flags()
	f.BoolVarP(&q.follow, "follow", "f", false, "go on with what happens, until Ctrl-C")
	f.StringVar(&q.since, "since", "", "only what happened since then: a `TIME` such as 2h, 3d, 2026-05-01 or 2026-05-01T12:00:00Z")
	f.StringSliceVar(&q.kinds, "kind", nil, "only events of this `KIND`; may be repeated: "+strings.Join(kindNames(), ", "))
	f.StringVar(&q.subject, "subject", "", "only events about this node, service or name")
	f.StringVar(&q.least, "severity", "", "only events of this `LEVEL` or worse: info, warning or error")
	f.IntVar(&q.limit, "limit", eventsShown, "how many at most; with --since all that there are, unless it is given too")
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(kindNames(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("severity", cobra.FixedCompletions([]string{"info", "warning", "error"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// kindNames are the kinds of events.
func kindNames() (names []string) {
	for number := range adminv1.EventKind_name {
		if number != 0 {
			names = append(names, rpc.EnumText(adminv1.EventKind(number)))
		}
	}
	slices.Sort(names)
	return names
}

// read makes the request of the flags.
func (q *eventsQuery) read(now time.Time) error {
	q.request.Subject = q.subject
	if q.since != "" {
		at, err := parseTime(q.since, now)
		if err != nil {
			return wrong("--since: %v", err)
		}
		q.request.Since = timestamppb.New(at)
	}
	for _, name := range q.kinds {
		number, ok := adminv1.EventKind_value["EVENT_KIND_"+strings.ToUpper(name)]
		if !ok {
			return wrong("--kind %q is none of %s", name, strings.Join(kindNames(), ", "))
		}
		q.request.Kinds = append(q.request.Kinds, adminv1.EventKind(number))
	}
	if q.least != "" {
		number, ok := adminv1.Severity_value["SEVERITY_"+strings.ToUpper(q.least)]
		if !ok {
			return wrong("--severity %q is neither info, warning nor error", q.least)
		}
		q.request.Least = adminv1.Severity(number)
	}
	if q.limit < 0 {
		return wrong("--limit %d is less than none", q.limit)
	}
	return nil
}

// list asks for the newest events, at most so many (0: all), and returns them oldest first.
func (q *eventsQuery) list(cmd *cobra.Command, most int) (events []eventJSON, problems []string, err error) {
	events, problems = []eventJSON{}, []string{}
	err = q.connection.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
		request := proto.CloneOf(&q.request)
		for {
			request.Limit = eventsPage
			if most > 0 {
				request.Limit = uint32(min(eventsPage, most-len(events)))
			}
			page, err := admin.ListEvents(ctx, request)
			if err != nil {
				return err
			}
			for _, e := range page.GetEvents() {
				events = append(events, newEventJSON(e))
			}
			for _, p := range page.GetProblems() {
				if !slices.Contains(problems, p) {
					problems = append(problems, p)
				}
			}
			request.Cursor = page.GetNext()
			if request.Cursor == "" || most > 0 && len(events) >= most {
				return nil
			}
		}
	})
	slices.Reverse(events)
	return events, problems, err
}

// run shows the last events and then those that happen. A server that does not answer later is said and asked again.
func (q *eventsQuery) run(cmd *cobra.Command) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	before := cmd.Context()
	defer cmd.SetContext(before)
	cmd.SetContext(ctx)
	q.connection.compact = true
	known := map[string]time.Time{}
	for first := true; ; first = false {
		most := q.limit
		if !first {
			most = eventsKnown
		}
		events, _, err := q.list(cmd, most)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (first || !mayPass(err)):
			return err
		case err != nil:
			report(cmd.ErrOrStderr(), err, q.connection.json)
		default:
			if err := q.tell(cmd, events, known); err != nil {
				return err
			}
			if len(events) > 0 {
				// By the clock of who notes events, which may not be the one here.
				since := latest(known).Add(-followBack)
				q.request.Since = timestamppb.New(since)
				maps.DeleteFunc(known, func(_ string, at time.Time) bool { return at.Before(since) })
			}
		}
		if clock.Sleep(ctx, clock.System{}, q.every) != nil {
			return nil
		}
	}
}

// tell shows the events that are not known yet.
func (q *eventsQuery) tell(cmd *cobra.Command, events []eventJSON, known map[string]time.Time) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, e := range events {
		if _, told := known[e.ID]; told {
			continue
		}
		known[e.ID] = e.at
		if !q.connection.json {
			e.row(w)
			continue
		}
		if err := q.connection.show(cmd, e, nil); err != nil {
			return err
		}
	}
	if q.connection.json {
		return nil
	}
	return w.Flush()
}

func latest(known map[string]time.Time) (at time.Time) {
	for _, one := range known {
		if one.After(at) {
			at = one
		}
	}
	return at
}

// parseTime reads a time: how long ago, a day, or a moment.
func parseTime(text string, now time.Time) (time.Time, error) {
	var days int
	if n, err := fmt.Sscanf(text, "%dd", &days); n == 1 && err == nil && text == fmt.Sprintf("%dd", days) && days >= 0 {
		return now.AddDate(0, 0, -days), nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02T15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, time.UTC); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time such as 2h, 3d, 2026-05-01 or 2026-05-01T12:00:00Z", text)
}
