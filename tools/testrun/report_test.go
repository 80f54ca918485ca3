package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheEndOfTheReportSaysWhatFailed(t *testing.T) {
	var out strings.Builder
	err := report(&out, []result{
		{name: "unit", counts: counts{passed: 2, failed: 1}, failures: []string{"FAILED TestX of p"}},
		{name: "packages", counts: counts{failed: 1}, err: errors.New("make packages: exit status 2")},
	}, 0)
	require.ErrorIs(t, err, errFailed)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Equal(t, []string{"unit: FAILED TestX of p", "packages: make packages: exit status 2", "2 passed, 2 failed, 0 skipped"}, lines[len(lines)-3:])
}
