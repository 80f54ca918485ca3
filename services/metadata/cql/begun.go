package cql

import (
	"sync"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/meta"
)

// begunAttempt is an attempt that this service knows to have been begun.
type begunAttempt struct {
	ref    meta.UploadRef
	number int // 0: a single upload
}

// begunCache remembers attempts of uploads that were open when this service last saw them, so that chunk rows are
// written while it is read whether they still may.
type begunCache struct {
	mu    sync.Mutex
	of    map[uuid.UUID]map[uuid.UUID]begunAttempt // by upload and attempt
	count int
}

func (c *begunCache) add(attempt uuid.UUID, b begunAttempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil || c.count >= maxCached {
		c.of, c.count = make(map[uuid.UUID]map[uuid.UUID]begunAttempt), 0
	}
	if c.of[b.ref.ID] == nil {
		c.of[b.ref.ID] = make(map[uuid.UUID]begunAttempt)
	}
	if _, there := c.of[b.ref.ID][attempt]; !there {
		c.count++
	}
	c.of[b.ref.ID][attempt] = b
}

// opened remembers that a multipart upload was seen open, beside its attempts.
func (c *begunCache) opened(r meta.UploadRef) { c.add(uuid.Nil, begunAttempt{ref: r}) }

// open says whether a multipart upload was seen open, and not seen ended since.
func (c *begunCache) open(r meta.UploadRef) bool {
	known, ok := c.get(r.ID, uuid.Nil)
	return ok && known.ref == r
}

func (c *begunCache) get(upload, attempt uuid.UUID) (begunAttempt, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.of[upload][attempt]
	return b, ok
}

func (c *begunCache) forget(upload, attempt uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.of[upload][attempt]; there {
		c.count--
	}
	if delete(c.of[upload], attempt); len(c.of[upload]) == 0 {
		delete(c.of, upload)
	}
}

// end forgets an upload that takes nothing any more.
func (c *begunCache) end(upload uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count -= len(c.of[upload])
	delete(c.of, upload)
}
