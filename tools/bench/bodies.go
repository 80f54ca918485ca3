package main

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
)

// pool is random bytes from which bodies are cut: incompressible, and each cut begins at another byte, so that no chunk of fixed size
// equals one of another body.
var (
	pool    = makePool()
	bodyNum atomic.Uint64
	runID   = rand.Uint64()
)

const poolSize = 160 << 20

func makePool() []byte {
	data := make([]byte, poolSize)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	return data
}

// fresh returns a body that differs from every other: a header with a number, then bytes of the pool from an offset that depends on it.
func fresh(size int) body {
	n := bodyNum.Add(1)
	header := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(make([]byte, 0, 16), runID), n)
	if size <= len(header) {
		return body{header[:size]}
	}
	rest := size - len(header)
	// An odd stride visits every offset before it comes back to one.
	offset := int((n*1_000_003 + runID) % uint64(poolSize-rest))
	return body{header, pool[offset : offset+rest]}
}

// equal returns the same body each time.
func equal(size int) body { return body{pool[:size]} }
