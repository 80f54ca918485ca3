package membership

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// write writes a layout file.
func write(t *testing.T, layout string) StoreConfig {
	t.Helper()
	c := DefaultStoreConfig()
	c.Layout = filepath.Join(t.TempDir(), "layout.json")
	require.NoError(t, os.WriteFile(c.Layout, []byte(layout), 0o600))
	return c
}

func TestAFileThatIsNoLayoutIsRefused(t *testing.T) {
	c := Config{Layout: filepath.Join(t.TempDir(), "none.json")}
	_, err := c.Read()
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = write(t, `{"number": 0}`).Read()
	require.ErrorContains(t, err, "number")
}
