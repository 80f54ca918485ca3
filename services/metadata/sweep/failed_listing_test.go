package sweep

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatAFailedListingNamesIsNotCleaned(t *testing.T) {
	m := New(rules)
	m.Step(start, Tick{})
	require.Empty(t, m.Step(start, Listed{Garbage: garbage(2), Err: errors.New("it may not be durable")}))
	require.Zero(t, m.Busy())
}
