//go:build stack

package heal

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
	"deuxfleurs.fr/garage/tools/deploy"
)

// flip changes a bit in the middle of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return // collected meanwhile
	}
	require.NoError(t, err)
	data[len(data)/2] ^= 0x10
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if os.IsNotExist(err) {
		return
	}
	require.NoError(t, err)
	defer file.Close()
	_, err = file.WriteAt(data[len(data)/2:len(data)/2+1], int64(len(data)/2))
	require.NoError(t, err)
}

// scrubbed has all nodes read everything, and waits until they have.
func (r *run) scrubbed() {
	r.t.Helper()
	r.command(chunknodev1.Task_TASK_SCRUB)
	r.until("all nodes have read what they hold", func() error {
		status, err := r.Status(r.t.Context())
		if err != nil {
			return err
		}
		for _, n := range status.GetNodes() {
			if s := task(n, chunknodev1.Task_TASK_SCRUB); s.GetState() != chunknodev1.TaskState_TASK_STATE_IDLE || s.GetEnded() == nil {
				return fmt.Errorf("node %s: %v", n.GetId(), s)
			}
		}
		return nil
	})
}

func TestBitsFlipAndFilesVanishOnOneNode(t *testing.T) {
	r := begin(t)
	p := r.NodesAt(1)[0]
	files := blobs(t, p)
	require.Greater(t, len(files), 3, "the load has stored files")
	for i, path := range files {
		if i%2 == 0 {
			flip(t, path)
		} else if err := os.Remove(path); err != nil {
			require.ErrorIs(t, err, os.ErrNotExist, "it may be collected meanwhile")
		}
	}
	r.goesOn(100)
	r.scrubbed()
	r.end(0)
}

func TestANodeLosesItsIndex(t *testing.T) {
	r := begin(t)
	p := r.NodesAt(0)[1]
	require.NoError(t, p.Kill())
	index, err := filepath.Glob(filepath.Join(p.Data, "chunks", "index", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, index)
	// Without its index the disk is of no use: the node begins with an empty one, under its old name.
	require.NoError(t, os.RemoveAll(filepath.Join(p.Data, "chunks")))
	require.NoError(t, p.Start())
	require.NoError(t, r.Ready(t.Context(), p))
	r.goesOn(100)
	r.end(10)
}

// ram is a small file system for the disk of a node.
func ram(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size), "this needs root")
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

func TestADiskIsFull(t *testing.T) {
	dir := ram(t, "64m")
	r := begin(t)
	disk := filepath.Join(dir, "disk")
	p := r.add(1, "GARAGE_CHUNK_DISKS="+disk, "GARAGE_CHUNK_RESERVE=8MiB")
	r.disks[p.Name] = disk
	r.apply(change{in: []*deploy.Process{p}, out: []*deploy.Process{r.NodesAt(1)[0]}})
	// What fills it is not Garage's.
	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	r.goesOn(150)
	require.NoError(t, os.Remove(filler))
	// The disk that failed is tried again when its node starts.
	require.NoError(t, p.Kill())
	require.NoError(t, p.Start())
	require.NoError(t, r.Ready(t.Context(), p))
	r.goesOn(50)
	r.end(10)
}

// fill writes a file until there is no room left.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	require.NoError(t, err)
	defer file.Close()
	for err == nil {
		_, err = file.Write(make([]byte, 1<<20))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
}
