package ldap

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

const (
	// repeatAfter is how long the same complaint is not said again.
	repeatAfter = time.Hour
	maxSaid     = 1000
)

// complaints logs what the administrator of the directory should know, and not at every request.
type complaints struct {
	log   *slog.Logger
	clock clock.Clock

	mu   sync.Mutex
	said map[string]time.Time
}

func newComplaints(l *slog.Logger, c clock.Clock) *complaints {
	return &complaints{log: l, clock: c, said: make(map[string]time.Time)}
}

// problem logs what is wrong with an entry.
func (c *complaints) problem(p problem) {
	if c.isNew(p.dn + "\x00" + p.err.Error()) {
		c.log.Warn("an LDAP entry is not as it should be, and gives no rights", "dn", p.dn, "problem", p.err)
	}
}

func (c *complaints) isNew(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	if at, known := c.said[text]; known && young(at, now, repeatAfter) {
		return false
	}
	if len(c.said) >= maxSaid {
		clear(c.said)
	}
	c.said[text] = now
	return true
}

// down logs that the directory cannot be asked, when that begins.
func (c *complaints) down(err error, begins bool, away time.Duration) {
	if begins {
		c.log.Error("LDAP cannot be asked: identities that are kept go on to be served, others are told to try again", "kept_for", away.String(), "error", err)
	}
}

// up logs that the directory is back, when it was away.
func (c *complaints) up(wasDown bool) {
	if wasDown {
		c.log.Info("LDAP can be asked again")
	}
}

// What can come of a lookup.
const (
	found   = "found"
	refused = "refused"
	failed  = "unavailable"
	turned  = "overloaded"
)

const subsystem = "ldap"

type metrics struct {
	reachable prometheus.Gauge
	lookups   *prometheus.CounterVec
	stale     prometheus.Counter
	seconds   *prometheus.HistogramVec
	cache     telemetry.CacheCounts
}

// What is done on a connection.
const (
	binding   = "bind"
	searching = "search"
)

func newMetrics(r prometheus.Registerer, p *pool) *metrics {
	m := &metrics{
		reachable: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: telemetry.Namespace, Subsystem: subsystem, Name: "up", Help: "Whether LDAP answered when it was asked last."}),
		lookups:   prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: telemetry.Namespace, Subsystem: subsystem, Name: "lookups_total", Help: "Times that LDAP was asked, by what came of it."}, []string{"result"}),
		stale:     prometheus.NewCounter(prometheus.CounterOpts{Namespace: telemetry.Namespace, Subsystem: subsystem, Name: "served_while_away_total", Help: "Identities that were served from memory because LDAP could not be asked."}),
	}
	m.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: telemetry.Namespace, Subsystem: subsystem, Name: "operation_duration_seconds",
		Help: "Duration of connecting and binding to LDAP, and of lookups on a connection, by whether LDAP answered.", Buckets: telemetry.LatencyBuckets}, []string{"operation", "result"})
	for _, result := range []string{found, refused, failed, turned} {
		m.lookups.WithLabelValues(result)
	}
	m.up(true)
	if r != nil {
		telemetry.RegisterCache(r, "ldap", m.cache.Counts)
		r.MustRegister(m.reachable, m.lookups, m.stale, m.seconds,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: telemetry.Namespace, Subsystem: subsystem, Name: "connections", Help: "Connections to LDAP that are in use."}, func() float64 { return float64(len(p.slots)) }))
	}
	return m
}

func (m *metrics) looked(result string) {
	m.lookups.WithLabelValues(result).Inc()
	m.up(result != failed)
}

// crowded counts a lookup that never reached the directory: it says nothing about it.
func (m *metrics) crowded() { m.lookups.WithLabelValues(turned).Inc() }

func (m *metrics) up(yes bool) {
	if yes {
		m.reachable.Set(1)
	} else {
		m.reachable.Set(0)
	}
}

// took notes how long something took that LDAP was asked for. An answer that there is no such entry is an answer.
func (m *metrics) took(operation string, began time.Time, err error) {
	result := "ok"
	if err != nil && !errors.Is(err, errors.NotFound) {
		result = "failed"
	}
	m.seconds.WithLabelValues(operation, result).Observe(time.Since(began).Seconds())
}

func (m *metrics) servedWhileAway() { m.stale.Inc() }
