package disk

import (
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

var (
	testNode    = uuid.UUID{1}
	testCluster = uuid.UUID{2}
)

// options are those of a test's store: on one disk in memory, with the default threshold.
func options(fs vfs.FS) Options {
	return Options{
		Disks: []Disk{{Path: "/data/disk"}}, NodeID: testNode, ClusterID: testCluster, FS: fs,
		InlineBelow: DefaultInlineBelow, MemTable: 1 << 20, Logger: slog.New(slog.DiscardHandler),
		Rules: state.Rules{Grace: state.DefaultGrace, Tombstones: state.DefaultTombstones},
	}
}

func memFS(t testing.TB) *vfs.MemFS {
	fs := vfs.NewCrashableMem()
	require.NoError(t, fs.MkdirAll("/data/disk", 0o755))
	root, err := fs.OpenDir("/")
	require.NoError(t, err)
	require.NoError(t, root.Sync())
	require.NoError(t, root.Close())
	return fs
}

func open(t testing.TB, o Options) *Store {
	s, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// damageable lets the suite damage what is on the disks.
type damageable struct{ *Store }

func (d damageable) Corrupt(h chunk.Hash) bool { return d.damage(h, false) }
func (d damageable) Lose(h chunk.Hash) bool    { return d.damage(h, true) }

func (d damageable) damage(h chunk.Hash, lose bool) bool {
	v := d.owners[h.Partition()]
	c, err := entryOf(v.db, h)
	if err != nil || c.Place == state.Nowhere {
		return false
	}
	if c.Place == state.InIndex {
		key := hashKey(keyBlob, h)
		if lose {
			return v.db.Delete(key, pebble.NoSync) == nil
		}
		var flipped []byte
		_, err := lookup(v.db, key, func(p []byte) error {
			flipped = append([]byte(nil), p...)
			flipped[len(p)/2] ^= 1
			return nil
		})
		return err == nil && v.db.Set(key, flipped, pebble.NoSync) == nil
	}
	path := v.blobPath(h, c.Compressed)
	if lose {
		return v.fs.Remove(path) == nil
	}
	f, err := v.fs.OpenReadWrite(path, fileCategory)
	if err != nil {
		return false
	}
	var one [1]byte
	at := int64(c.Stored) / 2
	if _, err := f.ReadAt(one[:], at); err != nil {
		return false
	}
	one[0] ^= 1
	_, err = f.WriteAt(one[:], at)
	return err == nil && f.Close() == nil
}

func TestConformance(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, o *Options){
		"in memory":        func(*testing.T, *Options) {},
		"everything files": func(_ *testing.T, o *Options) { o.InlineBelow = 0 },
		"all in the index": func(_ *testing.T, o *Options) { o.InlineBelow = chunk.MaxSize + 1 },
		"compressed":       func(_ *testing.T, o *Options) { o.Compression = 1 },
		"three disks": func(_ *testing.T, o *Options) {
			o.Disks = []Disk{{Path: "/data/a"}, {Path: "/data/b", Allocated: 1 << 40}, {Path: "/data/c", Index: "/data/ssd"}}
		},
		"on a real disk": func(t *testing.T, o *Options) { o.FS, o.Disks[0].Path = nil, t.TempDir() },
		"direct writes": func(t *testing.T, o *Options) {
			o.FS, o.Disks[0].Path, o.InlineBelow, o.Direct = nil, t.TempDir(), 0, true
		},
		"separate values": func(_ *testing.T, o *Options) { o.Separate, o.InlineBelow = true, 200<<10 },
		"without syncs":   func(t *testing.T, o *Options) { o.FS, o.Disks[0].Path, o.NoSync = nil, t.TempDir(), true },
	} {
		t.Run(name, func(t *testing.T) {
			chunktest.Run(t, func(t *testing.T) chunk.Store {
				o := options(memFS(t))
				for _, p := range []string{"/data/a", "/data/b", "/data/c"} {
					require.NoError(t, o.FS.MkdirAll(p, 0o755))
				}
				change(t, &o)
				return damageable{open(t, o)}
			})
		})
	}
}
