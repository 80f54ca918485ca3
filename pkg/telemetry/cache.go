package telemetry

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// CacheCounts counts how often a cache had what it was asked for. The zero value is ready.
type CacheCounts struct{ hits, misses atomic.Int64 }

// Asked counts one question, and whether the answer was there.
func (c *CacheCounts) Asked(hit bool) {
	if hit {
		c.hits.Add(1)
	} else {
		c.misses.Add(1)
	}
}

// Counts are the numbers so far.
func (c *CacheCounts) Counts() (hits, misses int64) { return c.hits.Load(), c.misses.Load() }

// RegisterCache publishes the counts of the cache of that name as garage_cache_requests_total; r may be nil. Different caches
// of a program have different names.
func RegisterCache(r prometheus.Registerer, name string, counts func() (hits, misses int64)) {
	if r == nil {
		return
	}
	one := func(result string, value func() int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: Namespace, Subsystem: "cache", Name: "requests_total",
			Help: "Times that a cache was asked, by whether it had the answer.", ConstLabels: prometheus.Labels{"cache": name, "result": result},
		}, func() float64 { return float64(value()) })
	}
	r.MustRegister(
		one("hit", func() int64 { hits, _ := counts(); return hits }),
		one("miss", func() int64 { _, misses := counts(); return misses }))
}
