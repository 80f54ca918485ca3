package cql

import (
	"hash/fnv"

	"github.com/google/uuid"
)

// shardOf is the shard of a key in a bucket with that many. It decides where rows are, so it never changes.
func shardOf(key string, shards int) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // never fails
	return int(mix(h.Sum64()) % uint64(shards))
}

// mix spreads the bits of a hash over all of it (the finaliser of MurmurHash3).
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// place is where the rows of a key are.
type place struct {
	bucket uuid.UUID
	shard  int
	key    string
}

// idOf is the ID in a column of 16 bytes; zero if it is empty or anything else.
func idOf(b []byte) uuid.UUID {
	id, err := uuid.FromBytes(b)
	if err != nil {
		return uuid.Nil
	}
	return id
}

// idBytes is the column of an ID; zero is null.
func idBytes(id uuid.UUID) []byte {
	if id == uuid.Nil {
		return nil
	}
	return id[:]
}
