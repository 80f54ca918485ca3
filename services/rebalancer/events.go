package rebalancer

import (
	"cmp"
	"context"
	"slices"
	"strings"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	"deuxfleurs.fr/garage/services/rebalancer/events"
)

// Pages of events.
const (
	defaultEvents = 100
	maxEvents     = 1000
)

// ListEvents tells what happened, newest first: what all rebalancers that Consul knows have noted. One that cannot be asked is named in the
// answer. Asked by another rebalancer, it tells what this one has noted.
func (s *Service) ListEvents(ctx context.Context, r *adminv1.ListEventsRequest) (*adminv1.ListEventsResponse, error) {
	cursor, err := events.ParseCursor(r.GetCursor())
	if err != nil {
		return nil, err
	}
	kinds, err := events.Kinds(r.GetKinds())
	if err != nil {
		return nil, err
	}
	limit := int(min(cmp.Or(r.GetLimit(), defaultEvents), maxEvents))
	q := events.Query{Before: cursor[s.self], Limit: limit, Kinds: kinds, Subject: r.GetSubject(), Least: r.GetLeast()}
	if r.GetSince() != nil {
		q.Since = r.GetSince().AsTime()
	}
	mine, next, err := s.events.List(ctx, q)
	if err != nil {
		return nil, err
	}
	pages := []events.Page{{Log: s.self, Events: mine, Next: next}}
	answer := &adminv1.ListEventsResponse{}
	answer.Problems = everywhere(ctx, s, r, adminv1.AdminServiceClient.ListEvents, func(self string, page *adminv1.ListEventsResponse) {
		p := events.Page{Log: self, Events: page.GetEvents(), Next: events.Exhausted}
		if c, err := events.ParseCursor(page.GetNext()); err == nil && c[self] > 0 {
			p.Next = c[self]
		}
		pages = append(pages, p)
	})
	slices.SortFunc(pages, func(a, b events.Page) int { return strings.Compare(a.Log, b.Log) })
	all, after := events.Merge(cursor, pages, limit)
	answer.Events, answer.Next = all, after.String()
	return answer, nil
}
