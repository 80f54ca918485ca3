package rebalancer

import (
	"context"
	"log/slog"
	"time"

	"deuxfleurs.fr/garage/pkg/clock"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	"deuxfleurs.fr/garage/services/rebalancer/events"
)

// observeEvery is how often it is looked what has changed.
const observeEvery = 10 * time.Second

// observe notes what changes in the cluster, until ctx ends. What nodes and services are is noted by the active instance alone, from when
// all that are alive have had the time to report to it; what a rebalancer depends on, by each for itself.
func (s *Service) observe(ctx context.Context) {
	var before events.State
	for {
		after := s.look(ctx)
		if ctx.Err() != nil {
			return
		}
		for _, e := range events.Changes(before, after) {
			s.deps.Logger.LogAttrs(ctx, level(e.GetSeverity()), "event: "+e.GetText(), slog.String("subject", e.GetSubject()))
			s.events.Note(e)
		}
		before = after
		if clock.Sleep(ctx, s.deps.Clock, observeEvery) != nil {
			return
		}
	}
}

func level(severity adminv1.Severity) slog.Level {
	switch severity {
	case adminv1.Severity_SEVERITY_ERROR:
		return slog.LevelError
	case adminv1.Severity_SEVERITY_WARNING:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// look is how the cluster is now, as far as this instance knows.
func (s *Service) look(ctx context.Context) events.State {
	asked, cancel := context.WithTimeout(ctx, s.config.StatusTimeout)
	defer cancel()
	seen := events.State{Away: map[string]string{}}
	if _, err := s.deps.Store.Info(asked); err != nil {
		seen.Away[events.Database] = err.Error()
	}
	if s.deps.Directory != nil {
		if err := s.deps.Directory.Check(asked); err != nil {
			seen.Away[events.LDAP] = err.Error()
		}
	}
	if s.cluster == nil {
		nodes, services := s.ask(asked)
		seen.Known, seen.Nodes, seen.Services = true, nodes, services
		return seen
	}
	if !s.deps.Consul.Up() {
		seen.Away[events.Consul] = "it does not answer"
	}
	t, _ := s.cluster.seat.get()
	if t == nil || s.deps.Clock.Now().Sub(t.began) < surelyAfter {
		return seen
	}
	snapshot, _ := s.cluster.lastSnapshot(asked) // with an error it is the last one known
	nodes, err := s.views(asked, t, snapshot)
	if err != nil {
		return seen
	}
	seen.Nodes = messages(nodes, s.deps.Clock.Now())
	seen.Known, seen.Services = true, s.services()
	return seen
}

// note keeps an event of this instance.
func (s *Service) note(kind adminv1.EventKind, severity adminv1.Severity, subject, text string) {
	s.events.Note(&adminv1.Event{Kind: kind, Severity: severity, Subject: subject, Text: text})
}

// noteLayout keeps an event about layouts.
func (s *Service) noteLayout(text string) {
	s.note(adminv1.EventKind_EVENT_KIND_LAYOUT, adminv1.Severity_SEVERITY_INFO, "", text)
}
