//go:build stack

package heal

import (
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/tools/deploy"
)

// skewed starts a process again with another clock; an empty offset makes it right.
func (r *run) skewed(p *deploy.Process, offset string) {
	r.t.Helper()
	require.NoError(r.t, p.Kill())
	p.Setenv(clock.OffsetEnv + "=" + offset)
	require.NoError(r.t, p.Start())
	require.NoError(r.t, r.Ready(r.t.Context(), p))
}

func TestClocksOfChunkNodesJumpByAnHourAndADay(t *testing.T) {
	r := begin(t)
	early, late := r.NodesAt(1)[0], r.NodesAt(2)[0]
	r.skewed(early, "24h")
	r.skewed(late, "-1h")
	r.goesOn(150)
	r.skewed(late, "")
	r.goesOn(50)
	// The clock that is fast stays so: what it has put off until its own future is done then, and no earlier.
	r.end(10)
}
