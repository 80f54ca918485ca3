package consul

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestInstancesAreKeptForAConsulThatIsAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), InstancesFile)
	some := []Instance{{ID: "a", NodeID: uuid.New(), Address: "127.0.0.1:1", Healthy: true}}
	c := client(t, "127.0.0.1:1") // nobody answers there
	c.KeepIn(path)
	before := newWatch()
	before.set(some)
	c.watches["service"] = before
	c.keep()
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	next := client(t, "127.0.0.1:1")
	next.KeepIn(path)
	w, unknown := next.Watch("service"), next.Watch("other")
	<-newChange(w)
	require.Equal(t, some, w.Instances())
	require.False(t, unknown.View().Known)
	next.keep()
	views, err := next.views()
	require.NoError(t, err)
	require.Equal(t, some, views["service"])

	require.NoError(t, os.WriteFile(path, []byte("nonsense"), 0o600))
	last := client(t, "127.0.0.1:1")
	last.KeepIn(path)
	damaged := newWatch()
	last.recall("service", damaged)
	require.False(t, damaged.View().Known)
	last.watches["service"] = before
	last.keep()
	views, err = last.views()
	require.NoError(t, err)
	require.Equal(t, some, views["service"], "a damaged file is written anew")
}

// newChange is closed once a watch knows something.
func newChange(w *Watch) <-chan struct{} {
	v := w.View()
	if v.Known {
		done := make(chan struct{})
		close(done)
		return done
	}
	return v.Changed
}
