package api

import (
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// maxCached bounds a cache; it is emptied when it is full.
const maxCached = 4096

// cache keeps what was found for a short time. What was not found is not kept.
type cache[V any] struct {
	life  time.Duration // 0: nothing is kept
	clock clock.Clock
	mu    sync.RWMutex
	m     map[string]cached[V]

	counts telemetry.CacheCounts
}

type cached[V any] struct {
	value V
	until time.Time
}

func newCache[V any](life time.Duration, c clock.Clock) *cache[V] {
	return &cache[V]{life: life, clock: c, m: make(map[string]cached[V])}
}

func (c *cache[V]) get(key string) (V, bool) {
	if c.life == 0 {
		var none V
		return none, false
	}
	now := c.clock.Now()
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.m[key]
	ok = ok && now.Before(e.until)
	c.counts.Asked(ok)
	if !ok {
		var none V
		return none, false
	}
	return e.value, true
}

// put keeps v, which was asked for at that time.
func (c *cache[V]) put(key string, v V, asked time.Time) {
	if c.life == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.m) >= maxCached {
		clear(c.m)
	}
	c.m[key] = cached[V]{v, asked.Add(c.life)}
}

func (c *cache[V]) drop(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.m, key)
}
