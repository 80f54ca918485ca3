package disk

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// TestAGroupDecidesAsItsOpsWouldOneByOne gives the same random ops to one store
// in groups and to another one at a time: answers and disks must not differ.
func TestAGroupDecidesAsItsOpsWouldOneByOne(t *testing.T) {
	seed := rand.Int63()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewSource(seed))
	c := clock.NewManual(time.Unix(1_700_000_000, 0)) // stands still within a round
	var stores [2]*Store
	for i := range stores {
		o := options(memFS(t))
		o.Clock, o.InlineBelow, o.Rules.Grace = c, 1000, time.Minute
		stores[i] = open(t, o)
	}
	var chunks []testChunk
	for i := int64(0); len(chunks) < 3; i++ { // of one writer
		h, b := chunktest.Chunk(seed+i, []int{500, 2000}[len(chunks)%2])
		if h[chunk.HashSize-1]%writersPerDisk == 0 {
			chunks = append(chunks, testChunk{h, b})
		}
	}
	for round := range 300 {
		var groups [2][]*op
		for range 1 + r.Intn(8) {
			i := r.Intn(len(chunks))
			k := chunks[i]
			template := op{hash: k.hash, ref: chunktest.Ref(10_000*i + round/4*3 + r.Intn(6)), owner: uuid.UUID{1}}
			template.kind = []opKind{opPut, opPut, opPutRef, opDelete, opDelete, opRepair, opSuspect, opOwe, opPaid, opCollect, opExpire,
				opWant, opTried, opTrash, opTrash, opUntrash, opPurge, opDrop}[r.Intn(18)]
			known, err := entryOf(stores[1].volumes[0].db, k.hash)
			require.NoError(t, err)
			template.since, template.at = known.Unreferenced, time.Duration(round)
			template.length, template.problem, template.due = uint32(k.data.Len()), "away", c.Now().Add(time.Duration(r.Intn(100))*time.Second)
			for range r.Intn(3) {
				template.refs = append(template.refs, chunktest.Ref(10_000*i+round/4*3+r.Intn(6)))
			}
			if kind, still := template.kind, r.Intn(4) > 0; kind == opDrop {
				template.still = func() bool { return still }
				if r.Intn(4) > 0 { // often what is live before the group
					template.refs, err = liveRefs(stores[1], k.hash)
					require.NoError(t, err)
				}
			}
			if template.kind == opCollect && template.since.IsZero() {
				continue // nothing is queued
			}
			for n, s := range stores {
				o := template
				if o.kind == opPut || o.kind == opRepair {
					o.offered = s.contentOf(k.data)
					if o.offered.Place == state.InFile {
						o.temporary, err = s.volumes[0].writeTemporary(t.Context(), o.offered)
						require.NoError(t, err)
					}
				}
				groups[n] = append(groups[n], &o)
			}
		}
		if r.Intn(4) == 0 { // all references of a chunk go at once, and then some of the above happens
			h := chunks[r.Intn(len(chunks))].hash
			var deletes [2][]*op
			require.NoError(t, stores[1].volumes[0].each(hashKey(keyLive, h), func(key, _ []byte) bool {
				for n := range deletes {
					deletes[n] = append(deletes[n], &op{kind: opDelete, hash: h, ref: parseRef(key[1+chunk.HashSize:])})
				}
				return true
			}))
			for n := range groups {
				groups[n] = append(deletes[n], groups[n]...)
			}
		}
		if r.Intn(5) == 0 { // damage, the same on both
			k := chunks[r.Intn(len(chunks))]
			require.Equal(t, damageable{stores[0]}.Corrupt(k.hash), damageable{stores[1]}.Corrupt(k.hash))
		}
		stores[0].volumes[0].writers[0].process(groups[0])
		for _, o := range groups[1] {
			stores[1].volumes[0].writers[0].process([]*op{o})
		}
		for i := range groups[0] {
			a, b := groups[0][i], groups[1][i]
			require.NoError(t, a.err)
			require.NoError(t, b.err)
			require.Equal(t, b.outcome, a.outcome, "op %d of %v: kind %d", i, kinds(groups[0]), a.kind)
			require.Equal(t, b.dropped, a.dropped, "op %d of %v", i, kinds(groups[0]))
			require.Equal(t, b.discarded, a.discarded, "op %d of %v: kind %d", i, kinds(groups[0]), a.kind)
			for n, s := range stores {
				if o := groups[n][i]; o.discarded && o.temporary != "" {
					s.volumes[0].removeQuietly(o.temporary)
				}
			}
		}
		require.Equal(t, contents(t, stores[1]), contents(t, stores[0]), "after %v", kinds(groups[0]))
		c.Advance(time.Duration(r.Intn(90)) * time.Second)
	}
}

func liveRefs(s *Store, h chunk.Hash) (refs []chunk.Ref, err error) {
	e, err := withRefs(s.owners[h.Partition()].db, h, state.Chunk{})
	return e.Refs, err
}

func kinds(group []*op) (all []string) {
	for _, o := range group {
		all = append(all, fmt.Sprintf("%d:%x/%d", o.kind, o.hash[:1], o.ref.Offset>>20%10_000))
	}
	return all
}

// contents are the keys and values of the index, without those of one disk
// alone, and the files.
func contents(t *testing.T, s *Store) map[string]string {
	all := map[string]string{}
	v := s.volumes[0]
	for _, kind := range []byte{keyBlob, keyDue, keyEntry, keyLive, keyOwed, keyPending, keySearch, keyTombstone} {
		require.NoError(t, v.each([]byte{kind}, func(key, value []byte) bool {
			all[fmt.Sprintf("%c%x", kind, key[1:])] = fmt.Sprintf("%x", value)
			return true
		}))
	}
	folders, err := v.fs.List(v.blobs)
	require.NoError(t, err)
	paths := []string{v.quarantine, v.temporary}
	for _, folder := range folders {
		paths = append(paths, v.blobs+"/"+folder)
	}
	for _, folder := range paths {
		names, err := v.fs.List(folder)
		require.NoError(t, err)
		for _, name := range names {
			all[folder+"/"+name] = "a file"
		}
	}
	all["totals"] = fmt.Sprintf("%+v", v.totals())
	return all
}

func TestAChunkCollectedAndPutAgainInOneGroupIsThere(t *testing.T) {
	for _, size := range []int{500, 2000} {
		o := options(memFS(t))
		o.InlineBelow, o.Rules.Grace = 1000, 0
		s := open(t, o)
		h, b := chunktest.Chunk(1, size)
		chunktest.RequirePut(t, s, h, b, chunktest.Ref(1))
		require.NoError(t, s.Delete(t.Context(), h, chunktest.Ref(1)))
		v := s.volumes[0]
		c, err := entryOf(v.db, h)
		require.NoError(t, err)
		put := &op{kind: opPut, hash: h, ref: chunktest.Ref(2), offered: s.contentOf(b)}
		if put.offered.Place == state.InFile {
			put.temporary, err = v.writeTemporary(t.Context(), put.offered)
			require.NoError(t, err)
		}
		v.writerOf(h).process([]*op{{kind: opCollect, hash: h, since: c.Unreferenced}, put})
		require.NoError(t, put.err)
		chunktest.RequireGet(t, s, h, b)
		requireConsistent(t, s)
	}
}
