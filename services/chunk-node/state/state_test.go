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
	_, e := Chunk{}.PutRef(Unknown, false, start)
	require.Equal(t, Effects{Outcome: chunk.SendData}, e)
	next, e := Chunk{Copy: file}.PutRef(Live, false, start)
	require.Equal(t, Effects{Outcome: chunk.SendData, Changed: true}, e)
	require.True(t, next.Bad)
	require.Equal(t, Search{Since: start, Due: start}, next.Search)
	_, e = next.PutRef(Live, false, start)
	require.Equal(t, Effects{Outcome: chunk.SendData}, e)
	_, e = Chunk{Copy: file}.PutRef(Removed, true, start)
	require.Equal(t, Effects{Outcome: chunk.Gone}, e)
}

func TestCollectLooksAtTheReferencesOnceMore(t *testing.T) {
	c, e := Chunk{Copy: file}.Delete(Live, false, start)
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
	_, e := Chunk{Copy: file}.Delete(Live, true, start)
	require.Equal(t, Effects{RemoveRef: true}, e)
	_, e = Chunk{}.Delete(Live, false, start)
	require.Equal(t, Effects{RemoveRef: true}, e, "a tombstone also for what is not known")
	c := Chunk{Copy: file, Unreferenced: start}
	next, e := c.Delete(Live, false, start.Add(time.Minute))
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
		"a bad copy that nobody looks for":   {Chunk{Bad: true}, File{}, true, Effects{Changed: true}},
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

func TestWantWaitsForACopy(t *testing.T) {
	c, e := Chunk{}.Want(Unknown, false, 100, start)
	require.Equal(t, Effects{Changed: true, AddRef: true}, e)
	require.Equal(t, Chunk{Copy: Copy{Length: 100}, Awaited: true, Search: Search{Since: start, Due: start}}, c)
	later := start.Add(time.Minute)
	c, e = c.Tried("nobody answers", later)
	require.Equal(t, Effects{Changed: true}, e)
	require.Equal(t, Search{Since: start, Due: later, Tries: 1, Problem: "nobody answers"}, c.Search)
	again, e := c.Want(Live, false, 100, later)
	require.Equal(t, Effects{}, e)
	require.Equal(t, c, again, "the search goes on as it was")
	_, e = c.PutRef(Unknown, false, later)
	require.Equal(t, Effects{Outcome: chunk.SendData}, e)
	repaired, e := c.Repair(true, file, later)
	require.True(t, e.Install)
	require.Equal(t, Chunk{Copy: file, Verified: later}, repaired)
	gone, _ := c.Delete(Live, false, later)
	require.False(t, gone.Sought(), "nothing needs a copy any more")
	_, e = gone.Tried("too late", later)
	require.Equal(t, Effects{}, e)
}

func TestWantOfWhatIsThereIsAReference(t *testing.T) {
	idle := Chunk{Copy: file, Unreferenced: start}
	next, e := idle.Want(Unknown, true, 100, start)
	require.Equal(t, Effects{Changed: true, AddRef: true, Dequeue: true}, e)
	require.Equal(t, Chunk{Copy: file}, next)
	idle.Trashed = 2
	next, e = idle.Want(InTrash, true, 100, start)
	require.Equal(t, Effects{Changed: true, AddRef: true, Recall: true}, e)
	require.Equal(t, Chunk{Copy: file, Trashed: 1}, next)
	_, e = Chunk{}.Want(Removed, false, 100, start)
	require.Equal(t, Effects{}, e, "what was removed stays removed")
	next, e = Chunk{Copy: file}.Want(Live, false, 100, start)
	require.Equal(t, Effects{Changed: true}, e)
	require.True(t, next.Bad && next.Sought(), "its copy had vanished")
}

func TestDropNeedsTheSameReferences(t *testing.T) {
	for _, c := range []Chunk{{Copy: file}, {Bad: true, Search: Search{Since: start}}, {Copy: file, Unreferenced: start}} {
		next, e, dropped := c.Drop(false, start)
		require.False(t, dropped)
		require.Equal(t, Effects{}, e)
		require.Equal(t, c, next)
		next, e, dropped = c.Drop(true, start)
		require.True(t, dropped)
		require.Equal(t, Effects{Changed: true, Dequeue: !c.Unreferenced.IsZero(), Unrefer: true, Forget: true}, e)
		require.Equal(t, Chunk{}, next)
	}
	_, e, dropped := Chunk{}.Drop(true, start)
	require.True(t, dropped)
	require.Equal(t, Effects{}, e)
}

func TestDropLeavesTheTrash(t *testing.T) {
	c, e, dropped := Chunk{Copy: file, Trashed: 1}.Drop(true, start)
	require.True(t, dropped)
	require.Equal(t, Effects{Changed: true, Unrefer: true}, e)
	_, e = c.Collect(rules, false, start.Add(100*24*time.Hour))
	require.Equal(t, Effects{}, e)
	back, e := c.Untrash(InTrash, start)
	require.Equal(t, Effects{Changed: true, AddRef: true, Recall: true}, e)
	require.Equal(t, Chunk{Copy: file}, back)
}

func TestNoTimeEmptiesTheTrash(t *testing.T) {
	for what, shared := range map[string]bool{"its last reference": false, "one of its references": true} {
		c, e := Chunk{Copy: file}.Trash(Live, shared, start)
		require.Equal(t, Effects{RemoveRef: true, ToTrash: true, Changed: true}, e, what)
		if shared { // whichever goes last
			c, e = c.Delete(Live, false, start)
			require.Equal(t, Effects{RemoveRef: true, Changed: true}, e)
		}
		_, e = c.Collect(rules, false, start.Add(100*365*24*time.Hour))
		require.Equal(t, Effects{}, e, what)
		next, e := c.Delete(Unknown, false, start.Add(time.Hour))
		require.Equal(t, Effects{RemoveRef: true}, e)
		require.Equal(t, c, next, "a Delete of something else does not hurry it")
		again, e := c.Trash(InTrash, false, start.Add(time.Hour))
		require.Equal(t, Effects{RemoveRef: true, ToTrash: true}, e)
		require.Equal(t, c, again, "it is in there once")
		for _, of := range []Ref{Unknown, Live, Removed} {
			_, e = c.Purge(of)
			require.Equal(t, Effects{}, e, "only what is in the trash leaves it")
		}
		c, e = c.Purge(InTrash)
		require.Equal(t, Effects{Recall: true, Changed: true, Enqueue: true}, e, what)
		_, e = c.Collect(rules, false, start.Add(DefaultGrace))
		require.True(t, e.Forget, what)
	}
}

func TestTheTrashKeepsAChunkOnlyAsLongAsItHasAReferenceOfIt(t *testing.T) {
	two, _ := Chunk{Copy: file}.Trash(Live, true, start)
	two, _ = two.Trash(Live, false, start)
	for _, leave := range []func(c Chunk) Chunk{
		func(c Chunk) Chunk { c, _ = c.Untrash(InTrash, start); return c },
		func(c Chunk) Chunk { c, _ = c.PutRef(InTrash, true, start); return c },
		func(c Chunk) Chunk { c, _ = c.Put(InTrash, file, false, start); return c },
		func(c Chunk) Chunk { c, _ = c.Want(InTrash, true, 100, start); return c },
		func(c Chunk) Chunk { c, _ = c.Delete(InTrash, !c.Unreferenced.IsZero(), start); return c },
		func(c Chunk) Chunk { c, _ = c.Purge(InTrash); return c },
	} {
		one := leave(two)
		require.EqualValues(t, 1, one.Trashed)
		none := leave(one)
		require.Zero(t, none.Trashed)
		if none.Unreferenced.IsZero() {
			var e Effects
			none, e = none.Delete(Live, false, start)
			require.True(t, e.Enqueue)
		}
		_, e := none.Collect(rules, false, start.Add(DefaultGrace))
		require.True(t, e.Forget, "it goes as others do")
	}
	_, e := Chunk{Copy: file}.Trash(Removed, true, start)
	require.Equal(t, Effects{}, e, "what was deleted cannot be had back")
	_, e = Chunk{Copy: file}.Trash(Unknown, true, start)
	require.Equal(t, Effects{}, e, "what is not there does not go")
}

func TestUntrashTakesTrashBack(t *testing.T) {
	c, _ := Chunk{Copy: file}.Trash(Live, false, start)
	back, e := c.Untrash(InTrash, start.Add(time.Hour))
	require.Equal(t, Effects{Recall: true, AddRef: true, Changed: true}, e)
	require.Equal(t, Chunk{Copy: file}, back)
	lost, _ := c.Lost(start)
	lost, e = lost.Untrash(InTrash, start)
	require.True(t, e.AddRef && lost.Sought(), "a copy is looked for again")
	_, e = Chunk{}.Untrash(InTrash, start)
	require.Equal(t, Effects{Recall: true}, e, "other nodes may bring it")
	for _, ref := range []Ref{Unknown, Live, Removed} {
		next, e := c.Untrash(ref, start)
		require.Equal(t, Effects{}, e)
		require.Equal(t, c, next)
	}
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
			switch event := rapid.SampledFrom([]string{"put", "putref", "delete", "trash", "untrash", "purge", "collect", "damage", "repair", "found", "want", "tried", "drop"}).Draw(t, "event"); event {
			case "put":
				c, e = c.Put(refs[n], file, stored, now)
				require.NotEqual(t, chunk.SendData, e.Outcome)
				require.NotEqual(t, e.Install, e.Discard)
				require.Equal(t, refs[n] == Removed, e.Outcome == chunk.Gone)
			case "putref":
				intact := stored
				c, e = c.PutRef(refs[n], intact, now)
				if e.Outcome == chunk.Stored {
					require.True(t, stored, "stored without a copy")
				}
			case "delete":
				c, e = c.Delete(refs[n], live(n), now)
				require.True(t, e.RemoveRef)
			case "trash":
				c, e = c.Trash(refs[n], live(n), now)
				require.Equal(t, refs[n] == Live || refs[n] == InTrash, e.RemoveRef && e.ToTrash)
			case "untrash":
				c, e = c.Untrash(refs[n], now)
				require.Equal(t, refs[n] == InTrash, e.Recall)
				require.Equal(t, e.Recall, e.AddRef)
			case "purge":
				c, e = c.Purge(refs[n])
				require.Equal(t, refs[n] == InTrash, e.Recall)
			case "want":
				c, e = c.Want(refs[n], stored, 100, now)
				require.Equal(t, refs[n] == Unknown || refs[n] == InTrash, e.AddRef)
			case "tried":
				c, e = c.Tried("away", now.Add(time.Hour))
			case "drop":
				same := rapid.Bool().Draw(t, "same references")
				var dropped bool
				c, e, dropped = c.Drop(same, now)
				require.Equal(t, same, dropped)
				require.Equal(t, same && before.Known(), e.Unrefer)
			case "collect":
				if queued.IsZero() || !queued.Equal(c.Unreferenced) {
					continue
				}
				c, e = c.Collect(rules, live(-1), now)
				require.False(t, e.Forget && live(-1), "a chunk that is referred to was collected")
				require.False(t, e.Forget && before.Trashed > 0, "the trash has it")
				require.False(t, e.Forget && now.Before(before.Unreferenced.Add(rules.Grace)), "collected too early")
			case "damage":
				stored = false
				c, e = c.Lost(now)
			case "repair":
				c, e = c.Repair(live(-1), file, now)
				require.False(t, e.AddRef)
			case "found":
				c, e = c.Found(File{Exists: stored, Sound: stored, Copy: file}, live(-1), now)
			}
			if e.Recall {
				require.Equal(t, InTrash, refs[n])
				refs[n] = Unknown
			}
			if e.AddRef {
				require.Equal(t, Unknown, refs[n])
				refs[n] = Live
			}
			if e.RemoveRef {
				if refs[n] = Removed; e.ToTrash {
					refs[n] = InTrash
				}
			}
			if e.Install {
				stored = true
			}
			if e.Dequeue {
				require.True(t, queued.Equal(before.Unreferenced))
				queued = time.Time{}
			}
			if e.Unrefer {
				for n, r := range refs {
					if r == Live {
						refs[n] = Unknown
					}
				}
			}
			if e.Enqueue {
				require.True(t, queued.IsZero())
				queued = c.Unreferenced
			}
			if e.Forget {
				stored = false
			}
			require.Equal(t, e.Changed, before != c)
			require.Equal(t, c.Queued(), !queued.IsZero(), "the queue and the chunk disagree")
			require.True(t, queued.IsZero() || queued.Equal(c.Unreferenced), "the queue and the chunk disagree")
			require.Equal(t, stored, c.Place != Nowhere)
			inTrash := uint32(0)
			for _, r := range refs {
				if r == InTrash {
					inTrash++
				}
			}
			require.Equal(t, inTrash, c.Trashed, "what the trash has keeps it")
			require.True(t, inTrash == 0 || c.Known(), "it went before its trash")
			require.Equal(t, live(-1) && !stored, c.Sought(), "a copy is looked for where it is needed: %+v", c)
			if c.Known() {
				require.Equal(t, live(-1), c.Unreferenced.IsZero(), "%+v", c)
			} else {
				require.False(t, live(-1), "a reference to nothing")
			}
		}
	})
}
