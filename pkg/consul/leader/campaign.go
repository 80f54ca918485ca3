package leader

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	// checkTTL without a refresh ends the session; refreshes come three times as often. They stay in the agent of this
	// machine unless the check's state changes.
	checkTTL     = 6 * time.Second
	checkRefresh = checkTTL / 3
	// lockDelay is how long Consul gives the lock to nobody after its holder's session has ended.
	lockDelay = time.Second
	// retry is the pause before something that failed is tried again.
	retry = 500 * time.Millisecond
	// confirmEvery is how often a holder asks whether it still is one, and doubtAfter how long it goes on without an
	// answer.
	confirmEvery = 5 * time.Second
	doubtAfter   = 15 * time.Second
	// leaveTimeout bounds what is done on the way out.
	leaveTimeout = 3 * time.Second
)

// Candidate is an instance that wants to be the active one.
type Candidate struct {
	Leader
	// Key is the full name of the lock's key.
	Key string
	// ServiceID is the instance's ID in Consul, to which the check of the session belongs; it is registered, or will
	// be soon.
	ServiceID string
	Clock     clock.Clock
	Log       *slog.Logger
}

// Held is the lock as its holder has it.
type Held struct {
	Term    uint64
	Key     string
	Session string
}

// Campaign takes the lock whenever it is free and calls lead, with a context that ends when the lock is or may be lost. It
// goes on when lead has returned, until ctx ends; then it gives the lock up and returns the error of ctx.
func Campaign(ctx context.Context, c *consul.Client, candidate Candidate, lead func(context.Context, Held)) error {
	value, err := json.Marshal(candidate.Leader)
	if err != nil {
		return err
	}
	r := &race{Candidate: candidate, api: c.API(), value: value}
	r.refreshed = r.Clock.Now()
	refreshing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	work.Go(func() { r.keepAlive(refreshing) })
	defer func() {
		stop()
		work.Wait()
		r.withdraw(context.WithoutCancel(ctx))
	}()
	failures := 0
	for ctx.Err() == nil {
		err := r.once(ctx, lead)
		if ctx.Err() != nil {
			break
		}
		if err == nil {
			failures = 0
			continue
		}
		// The first attempts may come before the service is registered.
		if failures++; failures == 10 {
			r.Log.Warn("the lock cannot be taken part in; it is tried again", "key", r.Key, "error", err)
		}
		if clock.Sleep(ctx, r.Clock, retry) != nil {
			break
		}
	}
	return ctx.Err()
}

// race is one instance's part in the campaign.
type race struct {
	Candidate
	api   *api.Client
	value []byte

	session string // belongs to the goroutine of Campaign

	mu        sync.Mutex
	refreshed time.Time // when the check was refreshed last
}

func (r *race) check() string { return r.ServiceID + ":candidate" }

// keepAlive refreshes the check until ctx ends.
func (r *race) keepAlive(ctx context.Context) {
	for {
		if err := r.refresh(ctx); err == nil {
			r.mu.Lock()
			r.refreshed = r.Clock.Now()
			r.mu.Unlock()
		} else if ctx.Err() == nil {
			r.Log.Debug("the check of the candidate could not be refreshed", "error", err)
		}
		if clock.Sleep(ctx, r.Clock, checkRefresh) != nil {
			return
		}
	}
}

func (r *race) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkRefresh)
	defer cancel()
	options := (&api.QueryOptions{}).WithContext(ctx)
	err := r.api.Agent().UpdateTTLOpts(r.check(), "alive", api.HealthPassing, options)
	var refused api.StatusError
	if !errors.As(err, &refused) || refused.Code != http.StatusNotFound {
		return err
	}
	return r.api.Agent().CheckRegisterOpts(&api.AgentCheckRegistration{
		ID: r.check(), Name: "can be the active one", ServiceID: r.ServiceID,
		AgentServiceCheck: api.AgentServiceCheck{TTL: checkTTL.String(), Status: api.HealthPassing},
	}, options)
}

// withdraw leaves nothing behind in Consul. What fails ends by itself.
func (r *race) withdraw(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	err := r.forgetSession(ctx)
	err = errors.Join(err, r.api.Agent().CheckDeregisterOpts(r.check(), (&api.QueryOptions{}).WithContext(ctx)))
	if err != nil {
		r.Log.Debug("leaving the campaign", "error", err)
	}
}

func (r *race) forgetSession(ctx context.Context) error {
	if r.session == "" {
		return nil
	}
	_, err := r.api.Session().Destroy(r.session, (&api.WriteOptions{}).WithContext(ctx))
	r.session = ""
	return err
}

// once takes the lock, if it is or becomes free, and leads.
func (r *race) once(ctx context.Context, lead func(context.Context, Held)) error {
	if r.session == "" {
		if err := r.makeSession(ctx); err != nil {
			return errors.Wrap(errors.Unavailable, err, "making the session")
		}
	}
	pair := &api.KVPair{Key: r.Key, Value: r.value, Session: r.session}
	got, _, err := r.api.KV().Acquire(pair, (&api.WriteOptions{}).WithContext(ctx))
	if err != nil {
		// It may be the session that has ended.
		err = errors.Join(err, r.forgetSession(ctx))
		return errors.Wrap(errors.Unavailable, err, "taking the lock")
	}
	if !got {
		return r.awaitFree(ctx)
	}
	// Each term has a session of its own.
	defer r.giveUp(context.WithoutCancel(ctx), pair)
	held, meta, err := r.api.KV().Get(r.Key, (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
	if err != nil {
		return errors.Wrap(errors.Unavailable, err, "reading the lock")
	}
	if held == nil || held.Session != r.session {
		return errors.Newf(errors.Conflict, "the lock was lost at once")
	}
	r.lead(ctx, meta.LastIndex, Held{Term: held.ModifyIndex, Key: r.Key, Session: r.session}, lead)
	return nil
}

// makeSession makes the session, and ends those before it that rest on the same check: of a process that was killed a moment ago, or one
// that could not be ended. This process refreshes their check, so that Consul would keep them, and the lock with them, for as long as it runs.
func (r *race) makeSession(ctx context.Context) error {
	// Its machine's health (serfHealth) is among the checks of each session.
	session, _, err := r.api.Session().Create(&api.SessionEntry{
		Name: r.ServiceID, Behavior: api.SessionBehaviorRelease, LockDelay: lockDelay,
		NodeChecks: []string{"serfHealth"}, ServiceChecks: []api.ServiceCheck{{ID: r.check()}},
	}, (&api.WriteOptions{}).WithContext(ctx))
	if err != nil {
		return err
	}
	r.session = session
	if err = r.endOthers(ctx); err != nil {
		err = errors.Join(err, r.forgetSession(ctx))
	}
	return err
}

func (r *race) endOthers(ctx context.Context) error {
	sessions, _, err := r.api.Session().List((&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
	if err != nil {
		return err
	}
	own := slices.IndexFunc(sessions, func(s *api.SessionEntry) bool { return s.ID == r.session })
	if own < 0 {
		return errors.Newf(errors.Conflict, "it has ended at once")
	}
	for _, s := range sessions {
		if s.ID == r.session || s.Name != r.ServiceID || s.Node != sessions[own].Node {
			continue
		}
		if _, err := r.api.Session().Destroy(s.ID, (&api.WriteOptions{}).WithContext(ctx)); err != nil {
			return err
		}
		r.Log.Warn("a session of an earlier time of this instance is ended; if that repeats, two programs run on copies of one data folder: stop one", "session", s.ID)
	}
	return nil
}

// awaitFree waits until nobody holds the lock. It may still not be given to anybody for lockDelay.
func (r *race) awaitFree(ctx context.Context) error {
	options := &api.QueryOptions{WaitTime: time.Minute}
	for first := true; ; first = false {
		pair, meta, err := r.api.KV().Get(r.Key, options.WithContext(ctx))
		switch {
		case err != nil:
			return errors.Wrap(errors.Unavailable, err, "waiting for the lock")
		case pair == nil || pair.Session == "":
			if first {
				return clock.Sleep(ctx, r.Clock, retry)
			}
			return nil
		}
		options.WaitIndex = meta.LastIndex
	}
}

// giveUp releases the lock, without which Consul would keep it for lockDelay, and ends the session.
func (r *race) giveUp(ctx context.Context, pair *api.KVPair) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	_, _, err := r.api.KV().Release(pair, (&api.WriteOptions{}).WithContext(ctx))
	if err = errors.Join(err, r.forgetSession(ctx)); err != nil {
		r.Log.Debug("giving up the lock", "error", err)
	}
}

// lead calls lead and ends its context when the lock is lost or nothing was heard of it for too long.
func (r *race) lead(ctx context.Context, index uint64, held Held, lead func(context.Context, Held)) {
	r.Log.Info("this instance is the active one", "key", r.Key, "term", held.Term)
	leading, stop := context.WithCancel(ctx)
	defer stop()
	var work sync.WaitGroup
	work.Go(func() { lead(leading, held) })
	r.hold(leading, index, held.Session)
	if ctx.Err() == nil {
		r.Log.Warn("this instance is no longer the active one", "key", r.Key, "term", held.Term)
	}
	stop()
	work.Wait()
}

// hold returns when the lock is lost or in doubt.
func (r *race) hold(ctx context.Context, index uint64, session string) {
	confirmed := r.Clock.Now()
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, 2*confirmEvery)
		pair, meta, err := r.api.KV().Get(r.Key, (&api.QueryOptions{WaitIndex: index, WaitTime: confirmEvery}).WithContext(attempt))
		cancel()
		now := r.Clock.Now()
		switch {
		case err == nil && (pair == nil || pair.Session != session):
			return
		case err == nil:
			index, confirmed = meta.LastIndex, now
		default:
			index = 0
			if clock.Sleep(ctx, r.Clock, retry) != nil {
				return
			}
		}
		r.mu.Lock()
		refreshed := r.refreshed
		r.mu.Unlock()
		if now.Sub(confirmed) > doubtAfter || now.Sub(refreshed) > doubtAfter {
			return
		}
	}
}
