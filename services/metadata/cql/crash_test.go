//go:build stack

package cql

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// interrupted begins a completion and stops before its object's row, as a crash would.
func (f *fixture) interrupted(key string) (meta.Complete, *uploadRow) {
	f.Helper()
	r := f.begin(key, true)
	c := meta.Complete{UploadRef: r, Parts: []meta.Part{f.part(f.a, r, 1)}, ETag: "e"}
	pl, err := f.a.placeOfUpload(f.ctx, r)
	require.NoError(f, err)
	u, err := f.a.readUploadRow(f.ctx, pl, true, r.ID)
	require.NoError(f, err)
	own := uuid.New()
	applied, _, err := f.a.cas(f.ctx, startComplete, append([]any{uploadCompleting, at(f.a.now()), appendSelection(c.Parts), own[:]}, u.at()...)...)
	require.NoError(f, err)
	require.True(f, applied)
	return c, u
}

// late writes the object's row of an upload, with nothing beside it.
func (f *fixture) late(pl place, upload uuid.UUID) meta.Version {
	f.Helper()
	v := meta.Version{Timestamp: f.a.hybrid.Now(), ID: uuid.New()}
	r, err := rowOf(meta.Object{Version: v, Size: 20, ETag: "late", Parts: []meta.ObjectPart{{Number: 1, Attempt: upload, Size: 20}}}, upload, nil)
	require.NoError(f, err)
	require.NoError(f, f.a.run(f.ctx, r.insertion(pl)))
	return v
}

func TestACompletionThatCrashedIsFinishedOrUndone(t *testing.T) {
	alone(t)
	f := twoServices(t)
	c, _ := f.interrupted("no row yet")
	v, err := f.b.CompleteUpload(f.ctx, c)
	require.NoError(t, err, "whoever completes it again, does")
	o, err := f.a.Object(f.ctx, f.bucket, c.Key)
	require.NoError(t, err)
	require.Equal(t, v, o.Version)

	c, _ = f.interrupted("aborted")
	require.NoError(t, f.b.AbortUpload(f.ctx, c.UploadRef))
	_, err = f.a.CompleteUpload(f.ctx, c)
	f.noUpload(err)

	c, u := f.interrupted("the row is there")
	row, err := rowOf(c.Object(meta.Upload{}, c.Parts), wroteParts(c.ID), nil)
	require.NoError(t, err)
	row.version = meta.Version{Timestamp: f.a.hybrid.Now(), ID: uuid.New()}
	require.NoError(t, f.a.run(f.ctx, row.insertion(u.place)))
	f.noUpload(f.b.AbortUpload(f.ctx, c.UploadRef))
	v, err = f.b.CompleteUpload(f.ctx, c)
	require.NoError(t, err)
	require.Equal(t, row.version, v)

	c, _ = f.interrupted("swept")
	attempts, _ := f.garbage(f.b, meta.ListGarbage{})
	require.False(t, attempts[c.Parts[0].Attempt], "an upload that is open again keeps its parts")
	_, err = f.b.CompleteUpload(f.ctx, c)
	require.NoError(t, err)
}

func TestAnObjectWhoseUploadStayedOpenIsNotGarbage(t *testing.T) {
	alone(t)
	f := twoServices(t)
	r := f.begin("k", false)
	require.NoError(t, f.a.AddChunks(f.ctx, r, r.ID, chunksOf(2)))
	pl, err := f.a.placeOfUpload(f.ctx, r)
	require.NoError(t, err)
	v := f.late(pl, r.ID) // and the crash
	attempts, _ := f.garbage(f.b, meta.ListGarbage{IdleBefore: time.Now().Add(time.Hour)})
	require.Empty(t, attempts)
	o, err := f.b.Object(f.ctx, f.bucket, "k")
	require.NoError(t, err)
	require.Equal(t, v, o.Version)
	f.noUpload(f.b.AbortUpload(f.ctx, r))
}

// The insert of a commit that failed comes when its upload was given up: it must not hide for good, and so destroy, what was there.
func TestALateRowOfAnAbortedUploadDestroysNothing(t *testing.T) {
	alone(t)
	f := twoServices(t)
	good := f.begin("k", false)
	_, err := f.put(f.a, good, 2)
	require.NoError(t, err)
	r := f.begin("k", false)
	require.NoError(t, f.a.AddChunks(f.ctx, r, r.ID, chunksOf(2)))
	require.NoError(t, f.a.AbortUpload(f.ctx, r))
	attempts, ids := f.garbage(f.a, meta.ListGarbage{})
	require.Equal(t, map[uuid.UUID]bool{r.ID: true}, attempts)
	require.NoError(t, f.a.DropGarbage(f.ctx, ids...))
	pl, err := f.a.placeOfUpload(f.ctx, r)
	require.NoError(t, err)
	f.late(pl, r.ID)
	for range 2 {
		attempts, _ = f.garbage(f.b, meta.ListGarbage{})
		require.Empty(t, attempts)
	}
	o, err := f.b.Object(f.ctx, f.bucket, "k")
	require.NoError(t, err)
	require.True(t, o.Wrote(good.ID), "the late row is taken back")
}

// The row of a completion that failed, and was undone because nobody found it, comes late: the upload may be aborted then, and its parts go.
func TestALateRowOfACompletionThatWasUndoneDestroysNothing(t *testing.T) {
	alone(t)
	f := twoServices(t)
	for _, ended := range []bool{false, true} {
		key := fmt.Sprintf("ended %v", ended)
		good := f.begin(key, false)
		_, err := f.put(f.a, good, 2)
		require.NoError(t, err)
		c, u := f.interrupted(key)
		require.NoError(t, f.b.reread(f.ctx, u))
		require.NoError(t, f.b.resolveCompletion(f.ctx, u))
		require.True(t, u.open())
		if ended {
			require.NoError(t, f.b.AbortUpload(f.ctx, c.UploadRef))
			_, ids := f.garbage(f.b, meta.ListGarbage{})
			require.NoError(t, f.b.DropGarbage(f.ctx, ids...))
			f.garbage(f.b, meta.ListGarbage{})
		}
		f.late(u.place, wroteParts(c.ID))
		for range 2 {
			attempts, _ := f.garbage(f.b, meta.ListGarbage{Before: time.Now().Add(time.Minute)})
			require.Empty(t, attempts, "ended %v", ended)
		}
		o, err := f.b.Object(f.ctx, f.bucket, key)
		require.NoError(t, err)
		require.True(t, o.Wrote(good.ID), "the late row is taken back; ended %v", ended)
	}
}

func TestRowsThatComeAfterTheyWereDroppedStayAway(t *testing.T) {
	alone(t)
	f := twoServices(t)
	m := f.begin("m", true)
	p := f.part(f.a, m, 1)
	s := f.begin("s", false)
	require.NoError(t, f.a.AddChunks(f.ctx, s, s.ID, chunksOf(2)))
	for _, r := range []meta.UploadRef{m, s} {
		require.NoError(t, f.a.AbortUpload(f.ctx, r))
	}
	_, ids := f.garbage(f.a, meta.ListGarbage{})
	require.Len(t, ids, 2)
	require.NoError(t, f.a.DropGarbage(f.ctx, ids...))
	require.NoError(t, f.b.writeChunks(f.ctx, p.Attempt, chunksOf(3)))
	require.NoError(t, f.b.writeChunks(f.ctx, s.ID, chunksOf(3)))
	require.NoError(t, f.b.describe(f.ctx, s, s.ID, 0))
	require.NoError(t, f.b.exec(f.ctx, beginPart, m.ID[:], 7, p.Attempt[:]))
	for _, attempt := range []uuid.UUID{p.Attempt, s.ID} {
		rows, err := f.a.Chunks(f.ctx, attempt, 0, 10)
		require.NoError(t, err)
		require.Empty(t, rows)
	}
	rows, err := f.a.tries(f.ctx, m.ID, 7)
	require.NoError(t, err)
	require.Empty(t, rows)
	require.NoError(t, f.b.DropGarbage(f.ctx, ids...), "dropping twice is no error")
}

func TestOneServiceAtATimeHasALease(t *testing.T) {
	alone(t)
	f := twoServices(t)
	mine, err := f.a.Lease(f.ctx, "sweep", time.Second)
	require.NoError(t, err)
	require.True(t, mine)
	theirs, err := f.b.Lease(f.ctx, "sweep", time.Second)
	require.NoError(t, err)
	require.False(t, theirs)
	mine, err = f.a.Lease(f.ctx, "sweep", 100*time.Millisecond)
	require.NoError(t, err)
	require.True(t, mine, "it keeps it")
	require.Eventually(t, func() bool {
		theirs, err := f.b.Lease(f.ctx, "sweep", time.Hour)
		return err == nil && theirs
	}, 30*time.Second, 20*time.Millisecond, "one that is not kept goes to another")
	mine, err = f.a.Lease(f.ctx, "sweep", time.Second)
	require.NoError(t, err)
	require.False(t, mine)
}

// underWay is the commit of an upload through the first service that has written its row, and waits for other answers of the database.
func (f *fixture) underWay(r meta.UploadRef) (meta.Put, place, *row) {
	f.Helper()
	p := meta.Put{Bucket: r.Bucket, Key: r.Key, Upload: r.ID, Size: 20, ETag: "e", First: chunksOf(1)[0], Chunks: chunksOf(2)}
	pl, err := f.a.placeOfUpload(f.ctx, r)
	require.NoError(f, err)
	written, err := rowOf(p.Object(), r.ID, p.Chunks)
	require.NoError(f, err)
	written.version = meta.Version{Timestamp: f.a.hybrid.Now(), ID: uuid.New()}
	for _, write := range append(f.a.besideUpload(f.ctx, pl, p, written), func() error { return f.a.run(f.ctx, written.insertion(pl)) }) {
		require.NoError(f, write())
	}
	return p, pl, written
}

// fails is what the first service does when the database does not answer a commit in time.
func (f *fixture) fails(pl place, r *row) {
	f.Helper()
	reason := errors.Newf(errors.Unavailable, "the database does not answer")
	require.Equal(f, reason, f.a.failedWrite(pl, r, reason))
}

func TestACommitThatFailsTakesNothingBackThatAnotherServiceAnswered(t *testing.T) {
	alone(t)
	f := twoServices(t)
	stands := func(key string, v meta.Version) {
		t.Helper()
		o, err := f.a.Object(f.ctx, f.bucket, key)
		require.NoError(t, err, key)
		require.Equal(t, v, o.Version, key)
	}

	p, pl, r := f.underWay(f.begin("single", false))
	v, err := f.b.PutObject(f.ctx, p)
	require.NoError(t, err)
	f.fails(pl, r)
	stands("single", v)

	p, pl, r = f.underWay(f.begin("conditional", false))
	p.Condition = meta.Condition{IfNoneMatch: []string{"*"}}
	v, err = f.b.PutObject(f.ctx, p)
	require.NoError(t, err)
	f.fails(pl, r)
	stands("conditional", v)

	_, pl, r = f.underWay(f.begin("swept", false))
	f.garbage(f.b, meta.ListGarbage{IdleBefore: time.Now().Add(time.Hour)})
	f.fails(pl, r)
	stands("swept", r.version)

	c, u := f.interrupted("completed")
	r, err = rowOf(c.Object(meta.Upload{}, c.Parts), wroteParts(c.ID), nil)
	require.NoError(t, err)
	r.version = meta.Version{Timestamp: f.a.hybrid.Now(), ID: uuid.New()}
	require.NoError(t, f.a.run(f.ctx, r.insertion(u.place)))
	v, err = f.b.CompleteUpload(f.ctx, c)
	require.NoError(t, err)
	f.fails(u.place, r)
	stands("completed", v)
}

func TestACommitThatIsTakenBackIsNotAnswered(t *testing.T) {
	alone(t)
	f := twoServices(t)
	_, pl, r := f.underWay(f.begin("k", false))
	f.fails(pl, r)
	require.True(t, errors.Is(f.b.adopt(f.ctx, pl, r.version), errors.Unavailable))
}

// What was written after the answer is above it, also for the call that was slower than the other.
func TestACommitThatAnotherServiceAnsweredDoesNotRiseAboveWhatCameAfter(t *testing.T) {
	alone(t)
	f := twoServices(t)
	p, pl, r := f.underWay(f.begin("k", false))
	_, err := f.b.PutObject(f.ctx, p)
	require.NoError(t, err)
	_, err = f.b.DeleteObjects(f.ctx, f.bucket, []meta.Delete{{Key: "k"}})
	require.NoError(t, err)
	heads, err := f.a.heads(f.ctx, pl, 2)
	require.NoError(t, err)
	_, err = f.a.raise(f.ctx, pl, r, heads, false, false, f.a.verifyOpen(f.ctx, pl, p, r, &single{}))
	f.noUpload(err)
	_, err = f.a.Object(f.ctx, f.bucket, "k")
	require.True(t, errors.Is(err, errors.NotFound), "%v", err)
}
