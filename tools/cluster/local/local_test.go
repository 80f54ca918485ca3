package local

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/repo"
)

func TestADataFolderRemembersWhatItWasUsedWith(t *testing.T) {
	data := t.TempDir()
	_, err := Open(Options{Data: data})
	require.ErrorContains(t, err, "no cluster was ever started")

	c, err := Open(Options{Data: data, Nodes: 2, Zones: 3, CQLNodes: 1, Offset: 1234, Env: map[string]string{"GARAGE_LOG_LEVEL": "debug"}})
	require.NoError(t, err)
	require.Equal(t, 2, c.Options().Zones, "there are no more zones than nodes")
	require.Equal(t, 2, c.Replication())
	require.Equal(t, "127.0.0.1:5134", c.Address())
	require.NoError(t, c.prepare())
	require.DirExists(t, c.ChunkNode(2))

	again, err := Open(Options{Data: data})
	require.NoError(t, err)
	require.Equal(t, 2, again.Options().Nodes)
	require.Equal(t, "debug", again.Options().Env["GARAGE_LOG_LEVEL"])
	require.Equal(t, c.Admin(), again.Admin())

	other, err := Open(Options{Data: data, Nodes: 3, Zones: 3, CQLNodes: 3})
	require.NoError(t, err)
	require.Equal(t, 3, other.Options().CQLNodes)
	require.Equal(t, c.Admin(), other.Admin(), "the ports stay")
}

func TestSizesThatCannotBeAreRefused(t *testing.T) {
	for _, o := range []Options{{Nodes: 10, Zones: 1, CQLNodes: 1}, {Nodes: 3, Zones: 0, CQLNodes: 1}, {Nodes: 3, Zones: 3, CQLNodes: 2}} {
		o.Data = t.TempDir()
		_, err := Open(o)
		require.Error(t, err, "%+v", o)
	}
}

func TestThePersonIsFoundInTheTree(t *testing.T) {
	root, err := repo.Root()
	require.NoError(t, err)
	c := &Cluster{root: root}
	p, err := c.person()
	require.NoError(t, err)
	require.NotEqual(t, p.accessKey, p.secret)
}

func TestProgramsAreCopiedAndOldOnesDropped(t *testing.T) {
	built := t.TempDir()
	c := &Cluster{o: Options{Data: t.TempDir(), Bin: built}}
	_, err := c.installPrograms(t.Context())
	require.ErrorContains(t, err, "not built")
	build := func(content string) string {
		for _, name := range Programs {
			require.NoError(t, os.WriteFile(filepath.Join(built, name), []byte(content), 0o755))
		}
		bin, err := c.installPrograms(t.Context())
		require.NoError(t, err)
		return bin
	}
	old := build("old")
	require.Equal(t, old, build("old"), "the same programs stay where they are")
	current := build("new")
	require.NotEqual(t, old, current)
	require.FileExists(t, filepath.Join(old, "chunk-node"), "jobs still run it")
	require.NoError(t, c.dropPrograms(current))
	require.NoDirExists(t, old)
	require.FileExists(t, filepath.Join(current, "chunk-node"))
}

func TestSecretsStay(t *testing.T) {
	c := &Cluster{o: Options{Data: t.TempDir()}}
	first, err := c.secret("admin.token")
	require.NoError(t, err)
	require.Len(t, first, 64)
	again, err := c.secret("admin.token")
	require.NoError(t, err)
	require.Equal(t, first, again)
	token, err := c.ConsulToken("traefik")
	require.NoError(t, err)
	same, err := c.ConsulToken("traefik")
	require.NoError(t, err)
	require.Equal(t, token, same)
}

func TestTheNumberOfAnAllocation(t *testing.T) {
	require.Equal(t, 1, allocation{Name: "garage-metadata.metadata[1]"}.index())
	require.Equal(t, 0, allocation{Name: "odd"}.index())
}
