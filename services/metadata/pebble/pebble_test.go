package pebble

import (
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/metatest"
)

func config(fs vfs.FS, c clock.Clock) Config {
	return Config{Dir: "meta", FS: fs, Clock: c, Random: clock.SystemRandom, Logger: slog.New(slog.DiscardHandler)}
}

func open(t *testing.T, c clock.Clock) meta.Store {
	s, err := Open(config(vfs.NewMem(), c))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestStore(t *testing.T) { metatest.Run(t, open) }

func TestRestoredObjectsKeepTheirTimestamps(t *testing.T) { metatest.RunRestored(t, open) }
