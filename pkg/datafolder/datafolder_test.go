package datafolder

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestAFolderIsMadeOnceAndKeepsItsIdentity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	f, err := Open(path, Options{Service: "standalone"})
	require.NoError(t, err)
	require.True(t, f.Fresh())
	first := f.Info()
	require.NotEqual(t, uuid.Nil, first.ClusterID)
	require.NotEqual(t, uuid.Nil, first.NodeID)
	require.NoError(t, f.Close())

	f, err = Open(path, Options{Service: "standalone", ClusterID: first.ClusterID})
	require.NoError(t, err)
	defer f.Close()
	require.False(t, f.Fresh())
	require.Equal(t, first, f.Info())
	require.Equal(t, filepath.Join(path, "x", "y"), f.Path("x", "y"))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

func TestASecondProcessIsRefused(t *testing.T) {
	path := t.TempDir()
	f, err := Open(path, Options{Service: "standalone"})
	require.NoError(t, err)
	_, err = Open(path, Options{Service: "standalone"})
	require.ErrorIs(t, err, ErrInUse)
	require.NoError(t, f.Close())
	f, err = Open(path, Options{Service: "standalone"})
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestFoldersThatMustNotBeUsed(t *testing.T) {
	cluster := uuid.New()
	for name, c := range map[string]struct {
		file, content string
		options       Options
		want          string
	}{
		"newer format":    {infoFile, `{"format": 2, "cluster_id": 7}`, Options{}, "its format is 2, and this program knows formats up to 1"},
		"damaged":         {infoFile, `{"form`, Options{}, "damaged"},
		"no format":       {infoFile, `{}`, Options{}, "damaged"},
		"another service": {infoFile, `{"format": 1, "service": "chunk-node"}`, Options{Service: "metadata"}, "belongs to chunk-node"},
		"another cluster": {infoFile, `{"format": 1, "service": "metadata", "cluster_id": "` + uuid.NewString() + `"}`, Options{ClusterID: cluster}, "not to " + cluster.String()},
		"somebody's home": {"letters.txt", "dear", Options{}, `it holds "letters.txt"`},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(path, c.file), []byte(c.content), 0o600))
			_, err := Open(path, c.options)
			require.ErrorContains(t, err, c.want)
			got, err := os.ReadFile(filepath.Join(path, c.file))
			require.NoError(t, err)
			require.Equal(t, c.content, string(got), "a refused folder stays as it was")
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := Open(file, Options{})
	require.ErrorContains(t, err, "is not a folder")
	_, err = Open("", Options{})
	require.Error(t, err)
}

func TestAnInterruptedFirstStartIsNoObstacle(t *testing.T) {
	path := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(path, infoFile+temporarySuffix), []byte(`{"for`), 0o644))
	f, err := Open(path, Options{Service: "metadata"})
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestWriteFileReplacesContentAndMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, WriteFile(path, []byte("one"), 0o644))
	require.NoError(t, WriteFile(path, []byte("two"), 0o600))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "two", string(content))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	_, err = os.Stat(path + temporarySuffix)
	require.True(t, os.IsNotExist(err))
}
