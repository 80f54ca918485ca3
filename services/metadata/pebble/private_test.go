package pebble

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
)

func TestTheFolderIsItsOwnersAlone(t *testing.T) {
	c := config(vfs.Default, clock.System{})
	c.Dir = filepath.Join(t.TempDir(), "metadata")
	s, err := Open(c)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	info, err := os.Stat(c.Dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}
