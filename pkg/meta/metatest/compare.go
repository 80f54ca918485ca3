package metatest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
)

// Compare runs the same random operations on stores of two kinds: every answer, and what the
// stores hold at the end, must be the same.
func Compare(t *testing.T, seed uint64, steps int, a, b Open) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute+time.Duration(steps)*200*time.Millisecond)
	defer cancel()
	c := clock.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	random := NewRandom(seed, c)
	subjects := []*Subject{NewSubject(a(t, c)), NewSubject(b(t, c))}
	for step := range steps {
		op := random.Next()
		var answers [2]string
		for i, s := range subjects {
			answer, err := op.Run(ctx, s)
			require.NoError(t, err, "seed %d, step %d", seed, step)
			answers[i] = answer
		}
		require.Equal(t, answers[0], answers[1], "seed %d, step %d: %s", seed, step, op.Name)
		if step%200 == 0 || step == steps-1 {
			dumps := make([][]string, 2)
			for i, s := range subjects {
				var err error
				dumps[i], err = Dump(ctx, s)
				require.NoError(t, err, "seed %d, step %d", seed, step)
			}
			require.Equal(t, dumps[0], dumps[1], "seed %d, step %d", seed, step)
		}
	}
}
