package disk

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/chunk/chunktest"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// killFolder tells a process of this test that it is the one to be killed.
const killFolder = "GARAGE_TEST_KILL_FOLDER"

func killOptions(folder string) Options {
	o := options(nil)
	o.FS, o.Disks[0].Path, o.Direct = nil, folder, true
	return o
}

func killChunk(i int) (chunk.Hash, *buffer.Buffer) {
	return chunktest.Chunk(int64(i), []int{700, 40_000, 300_000, 3000}[(i>>2+i)%4])
}

// TestWhatAKilledProcessAcknowledgedIsThere kills a process that writes and
// deletes, several times on the same folder, and reads everything back.
func TestWhatAKilledProcessAcknowledgedIsThere(t *testing.T) {
	if folder := os.Getenv(killFolder); folder != "" {
		writeUntilKilled(t, folder)
		return
	}
	folder := t.TempDir()
	put, deleted := map[int]bool{}, map[int]bool{}
	for round := range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestWhatAKilledProcessAcknowledgedIsThere$")
		cmd.Env = append(os.Environ(), killFolder+"="+folder, fmt.Sprintf("GARAGE_TEST_KILL_ROUND=%d", round))
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		timeout := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			var what string
			var i int
			if _, err := fmt.Sscanf(lines.Text(), "%s %d", &what, &i); err != nil {
				continue
			}
			if what == "put" {
				put[i] = true
			} else if what == "deleted" {
				deleted[i] = true
			}
			if n == 40*(round+1) {
				require.NoError(t, cmd.Process.Kill())
			}
		}
		require.Error(t, cmd.Wait(), "it was killed")
		timeout.Stop()

		s, err := Open(killOptions(folder))
		require.NoError(t, err)
		require.True(t, s.Unclean())
		_, err = s.Check(t.Context())
		require.NoError(t, err)
		names, err := os.ReadDir(folder + "/" + temporaryFolder)
		require.NoError(t, err)
		require.Empty(t, names)
		for i := range put {
			h, b := killChunk(i)
			known := refState(t, s.volumes[0], h, chunktest.Ref(i))
			if deleted[i] {
				require.Equal(t, state.Removed, known)
				continue
			}
			if known != state.Removed { // else its removal was under way
				require.Equal(t, state.Live, known)
				chunktest.RequireGet(t, s, h, b)
			}
		}
		requireConsistent(t, s)
		require.NoError(t, s.Close())
	}
	require.Greater(t, len(put), 60)
	require.NotEmpty(t, deleted)
}

func writeUntilKilled(t *testing.T, folder string) {
	s, err := Open(killOptions(folder))
	require.NoError(t, err)
	var round int
	_, err = fmt.Sscan(os.Getenv("GARAGE_TEST_KILL_ROUND"), &round)
	require.NoError(t, err)
	var g errgroup.Group
	for worker := range 4 {
		g.Go(func() error {
			for k := range 100_000 {
				i := round<<20 | k<<2 | worker
				h, b := killChunk(i)
				if _, err := s.Put(context.Background(), h, b, chunktest.Ref(i)); err != nil {
					return err
				}
				fmt.Printf("put %d\n", i)
				if k%3 == 0 {
					if err := s.Delete(context.Background(), h, chunktest.Ref(i)); err != nil {
						return err
					}
					fmt.Printf("deleted %d\n", i)
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
}
