package disk

import (
	"path"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/pkg/errors"
)

// TestWhatCannotBeOpenedForNowIsNotBad takes the process's file descriptors away: that says nothing about the copies.
func TestWhatCannotBeOpenedForNowIsNotBad(t *testing.T) {
	fs := memFS(t)
	var none atomic.Bool
	o := options(errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		blob := op.Kind == errorfs.OpOpen && strings.Contains(op.Path, "/"+blobsFolder+"/")
		temporary := op.Kind == errorfs.OpCreate && path.Base(path.Dir(op.Path)) == temporaryFolder
		if none.Load() && (blob || temporary) {
			return syscall.EMFILE
		}
		return nil
	})))
	s := open(t, o)
	h, b := chunktest.Chunk(1, 100_000)
	chunktest.RequirePut(t, s, h, b, chunktest.Ref(1))

	none.Store(true)
	_, err := s.Get(t.Context(), h)
	require.True(t, errors.Is(err, errors.Overloaded), "%v", err)
	require.True(t, errors.Is(s.Repair(t.Context(), h, b), errors.Overloaded))
	other, more := chunktest.Chunk(2, 100_000)
	_, err = s.Put(t.Context(), other, more, chunktest.Ref(2))
	require.True(t, errors.Is(err, errors.Overloaded), "%v", err)
	none.Store(false)

	chunktest.RequireGet(t, s, h, b)
	chunktest.RequirePut(t, s, other, more, chunktest.Ref(2))
	require.Zero(t, status(t, s).Quarantined)
	aside, err := fs.List("/data/disk/" + quarantineFolder)
	require.NoError(t, err)
	require.Empty(t, aside)
	requireConsistent(t, s)
}
