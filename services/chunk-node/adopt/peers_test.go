package adopt

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/membership"
)

func TestWhatWasLearnedAlreadyIsNotAskedForAgain(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	members := membership.New(membership.Deps{Logger: log})
	t.Cleanup(func() { require.NoError(t, members.Close()) })
	p := NewPeers(open(t, filepath.Join(t.TempDir(), "layouts")), members, log)
	id := uuid.New() // it cannot be reached
	require.NoError(t, p.Adopt(active(t, placement(t, 2, id))))
	require.NoError(t, p.CatchUp(t.Context(), id, layout.Differs(2)))
	require.Error(t, p.CatchUp(t.Context(), id, layout.Differs(3)))
}
