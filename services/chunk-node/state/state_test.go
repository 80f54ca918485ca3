package state

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"deuxfleurs.fr/garage/pkg/chunk"
)

var (
	start = time.Unix(1_700_000_000, 0)
	rules = Rules{Grace: DefaultGrace, Tombstones: DefaultTombstones}
	file  = Copy{Place: InFile, Length: 100, Stored: 100}
)

func TestPut(t *testing.T) {
	held := Chunk{Copy: file, Verified: start}
	idle := Chunk{Copy: file, Verified: start, Unreferenced: start}
	bad := Chunk{Copy: Copy{Length: 100}, Bad: true}
	for name, c := range map[string]struct {
		chunk  Chunk
		ref    Ref
		intact bool
		want   Effects
		place  Place
	}{
		"a new chunk":                    {Chunk{}, Unknown, false, Effects{Outcome: chunk.Stored, Changed: true, AddRef: true, Install: true}, InFile},
		"another reference":              {held, Unknown, true, Effects{Outcome: chunk.Stored, AddRef: true, Discard: true}, InFile},
		"the same again":                 {held, Live, true, Effects{Outcome: chunk.Stored, Discard: true}, InFile},
		"a removed reference":            {held, Removed, true, Effects{Outcome: chunk.Gone, Discard: true}, InFile},
		"a removed one of nothing":       {Chunk{}, Removed, false, Effects{Outcome: chunk.Gone, Discard: true}, Nowhere},
		"one that waits for collection":  {idle, Unknown, true, Effects{Outcome: chunk.Stored, Changed: true, AddRef: true, Discard: true, Dequeue: true}, InFile},
		"a copy that vanished":           {held, Unknown, false, Effects{Outcome: chunk.Stored, Changed: true, AddRef: true, Install: true}, InFile},
		"a damaged chunk":                {bad, Unknown, false, Effects{Outcome: chunk.Stored, Changed: true, AddRef: true, Install: true}, InFile},
		"a damaged one, known reference": {bad, Live, false, Effects{Outcome: chunk.Stored, Changed: true, Install: true}, InFile},
	} {
		next, e := c.chunk.Put(c.ref, file, c.intact, start)
		require.Equal(t, c.want, e, name)
		require.Equal(t, c.place, next.Place, name)
		require.False(t, next.Bad, name)
	}
}

func TestPutRefAnswersStoredOnlyForAGoodCopy(t *testing.T) {
	_, e := Chunk{}.PutRef(Unknown, false)
	require.Equal(t, Effects{Outcome: chunk.SendData}, e)
	next, e := Chunk{Copy: file}.PutRef(Live, false)
	require.Equal(t, Effects{Outcome: chunk.SendData, Changed: true}, e)
	require.True(t, next.Bad)
	_, e = next.PutRef(Live, false)
	require.Equal(t, Effects{Outcome: chunk.SendData}, e)
	_, e = Chunk{Copy: file}.PutRef(Removed, true)
	require.Equal(t, Effects{Outcome: chunk.Gone}, e)
}

func TestCollectLooksAtTheReferencesOnceMore(t *testing.T) {
	c, e := Chunk{Copy: file}.Delete(false, start)
	require.Equal(t, Effects{RemoveRef: true, Changed: true, Enqueue: true}, e)
	_, e = c.Collect(rules, false, start.Add(DefaultGrace-1))
	require.Equal(t, Effects{}, e, "too early")
	next, e := c.Collect(rules, true, start.Add(DefaultGrace))
	require.Equal(t, Effects{Changed: true, Dequeue: true}, e, "it has a reference")
	require.True(t, next.Known())
	next, e = c.Collect(rules, false, start.Add(DefaultGrace))
	require.Equal(t, Effects{Changed: true, Dequeue: true, Forget: true}, e)
	require.False(t, next.Known())
	_, e = Chunk{Copy: file}.Collect(rules, false, start.Add(time.Hour))
	require.Equal(t, Effects{}, e, "it does not wait for collection")
}

func TestDeleteKeepsWhatOthersReferTo(t *testing.T) {
	_, e := Chunk{Copy: file}.Delete(true, start)
	require.Equal(t, Effects{RemoveRef: true}, e)
	_, e = Chunk{}.Delete(false, start)
	require.Equal(t, Effects{RemoveRef: true}, e, "a tombstone also for what is not known")
	c := Chunk{Copy: file, Unreferenced: start}
	next, e := c.Delete(false, start.Add(time.Minute))
	require.Equal(t, Effects{RemoveRef: true}, e)
	require.Equal(t, start, next.Unreferenced, "a repeated Delete does not put off the collection")
}

func TestWhatAStartFinds(t *testing.T) {
	held := Chunk{Copy: file}
	for name, c := range map[string]struct {
		chunk Chunk
		file  File
		live  bool
		want  Effects
	}{
		"all is well":                        {held, File{Exists: true}, true, Effects{}},
		"an entry without file":              {held, File{}, true, Effects{Changed: true}},
		"a whole file without entry":         {Chunk{}, File{Exists: true, Sound: true, Copy: file}, false, Effects{Changed: true, Enqueue: true}},
		"half a file without entry":          {Chunk{}, File{Exists: true}, false, Effects{Discard: true}},
		"the file of a chunk thought lost":   {Chunk{Bad: true}, File{Exists: true, Sound: true, Copy: file}, true, Effects{Changed: true}},
		"a file beside a value in the index": {Chunk{Copy: Copy{Place: InIndex}}, File{Exists: true, Sound: true, Copy: file}, true, Effects{Discard: true}},
		"a reference, but in the queue":      {Chunk{Copy: file, Unreferenced: start}, File{Exists: true}, true, Effects{Changed: true, Dequeue: true}},
		"no reference, and not in the queue": {held, File{Exists: true}, false, Effects{Changed: true, Enqueue: true}},
	} {
		next, e := c.chunk.Found(c.file, c.live, start)
		require.Equal(t, c.want, e, name)
		require.Equal(t, e.Enqueue, !next.Unreferenced.IsZero() && c.chunk.Unreferenced.IsZero(), name)
	}
	require.True(t, Chunk{}.Examine(true))
	require.False(t, held.Examine(true), "what has an entry need not be read")
}

func TestTombstonesExpire(t *testing.T) {
	require.False(t, rules.Expired(start, start.Add(DefaultTombstones-1)))
	require.True(t, rules.Expired(start, start.Add(DefaultTombstones)))
}

// TestAnyOrderOfEvents drives one chunk with random events, carries the
// effects out on a model of the disk, and checks the package's invariants.
func TestAnyOrderOfEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := start
		var c Chunk
		refs := map[int]Ref{}
		stored, queued := false, time.Time{} // the copy and the queue entry on the model's disk
		live := func(except int) bool {
			for n, r := range refs {
				if r == Live && n != except {
					return true
				}
			}
			return false
		}
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "seconds")) * time.Second)
			n := rapid.IntRange(0, 2).Draw(t, "reference")
			before := c
			var e Effects
			switch event := rapid.SampledFrom([]string{"put", "putref", "delete", "collect", "damage", "repair", "found"}).Draw(t, "event"); event {
			case "put":
				c, e = c.Put(refs[n], file, stored, now)
				require.NotEqual(t, chunk.SendData, e.Outcome)
				require.NotEqual(t, e.Install, e.Discard)
				require.Equal(t, refs[n] == Removed, e.Outcome == chunk.Gone)
			case "putref":
				intact := stored
				c, e = c.PutRef(refs[n], intact)
				if e.Outcome == chunk.Stored {
					require.True(t, stored, "stored without a copy")
				}
			case "delete":
				c, e = c.Delete(live(n), now)
				require.True(t, e.RemoveRef)
			case "collect":
				if queued.IsZero() || !queued.Equal(c.Unreferenced) {
					continue
				}
				c, e = c.Collect(rules, live(-1), now)
				require.False(t, e.Forget && live(-1), "a chunk that is referred to was collected")
				require.False(t, e.Forget && now.Before(before.Unreferenced.Add(rules.Grace)), "collected too early")
			case "damage":
				stored = false
				c, e = c.Lost()
			case "repair":
				c, e = c.Repair(live(-1), file, now)
				require.False(t, e.AddRef)
			case "found":
				c, e = c.Found(File{Exists: stored, Sound: stored, Copy: file}, live(-1), now)
			}
			if e.AddRef {
				require.Equal(t, Unknown, refs[n])
				refs[n] = Live
			}
			if e.RemoveRef {
				refs[n] = Removed
			}
			if e.Install {
				stored = true
			}
			if e.Dequeue {
				require.True(t, queued.Equal(before.Unreferenced))
				queued = time.Time{}
			}
			if e.Enqueue {
				queued = c.Unreferenced
			}
			if e.Forget {
				stored = false
			}
			require.Equal(t, e.Changed, before != c)
			require.True(t, queued.Equal(c.Unreferenced), "the queue and the chunk disagree")
			require.Equal(t, stored, c.Place != Nowhere)
			if c.Known() {
				require.Equal(t, live(-1), c.Unreferenced.IsZero(), "%+v", c)
			} else {
				require.False(t, live(-1), "a reference to nothing")
			}
		}
	})
}
