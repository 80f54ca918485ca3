package faults

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
)

// blobsHolding returns the files, at most one on each chunk-node, that hold the bytes of this body of one chunk as they are.
// The suite looks for bytes and not for names, so it knows nothing of how a name follows from a hash.
func blobsHolding(t *testing.T, d *deploy.Deployment, body []byte) []string {
	t.Helper()
	var found []string
	for _, node := range d.ChunkNodes() {
		require.NotEmpty(t, node.Data, "the data folder of %s is not known", node.Name)
		err := filepath.WalkDir(node.Data, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.Contains(path, "blobs") {
				return ignoreGone(err)
			}
			info, err := entry.Info()
			if err != nil || info.Size() < int64(len(body)) || info.Size() > int64(len(body))+4096 {
				return ignoreGone(err)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return ignoreGone(err)
			}
			if bytes.Contains(data, body) {
				found = append(found, path)
				return fs.SkipAll
			}
			return nil
		})
		require.NoError(t, err)
	}
	return found
}

// ignoreGone forgives a file that was renamed or collected between the listing and the look at it.
func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

func flipByte(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer file.Close()
	info, err := file.Stat()
	require.NoError(t, err)
	one := make([]byte, 1)
	_, err = file.ReadAt(one, info.Size()/2)
	require.NoError(t, err)
	one[0] ^= 0x40
	_, err = file.WriteAt(one, info.Size()/2)
	require.NoError(t, err)
}

func random(size int) []byte {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	body := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(body)
	return body
}
