//go:build stack

package cql

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

var meetings = flag.Int("meetings", 15, "uploads that are ended from several services at once")

// Transactions on one row that meet leave each other's outcome unknown. One that is repeated without knowing finds its own work,
// and all would say that another ended the upload.
func TestWhoEndsAnUploadIsToldSoWhenManyMeet(t *testing.T) {
	const each = 4
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	third(t)
	empty(t, clock.System{})
	stores := writers(t, nil)
	bucket := uuid.New()
	require.NoError(t, stores[0].CreateBucket(ctx, meta.Bucket{ID: bucket, Name: "meetings"}))
	unknown := 0
	for round := range *meetings {
		ref := meta.UploadRef{Bucket: bucket, Key: fmt.Sprint("k", round), ID: uuid.New()}
		require.NoError(t, stores[0].BeginUpload(ctx, meta.Upload{UploadRef: ref, Multipart: true}))
		errs := make([]error, each*len(stores))
		var begin, done sync.WaitGroup
		begin.Add(1)
		for i := range errs {
			done.Go(func() {
				begin.Wait()
				errs[i] = stores[i%len(stores)].AbortUpload(ctx, ref)
			})
		}
		begin.Done()
		done.Wait()
		ended := 0
		for _, err := range errs {
			switch {
			case err == nil:
				ended++
			case errors.Is(err, errors.Unavailable):
				unknown++
			default:
				require.True(t, errors.IsEntity(err, errors.NotFound, errors.Upload), "%v", err)
			}
		}
		require.Positive(t, ended, "round %d: it is ended, and nobody did it: %v", round, errs)
	}
	t.Logf("%d of %d did not learn what became of theirs", unknown, *meetings*each*len(stores))
}
