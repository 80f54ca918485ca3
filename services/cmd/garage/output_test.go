package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// hostile is a name that would clear the screen, add cells and lines, and ring.
const hostile = "a\x1b[2J\tb\nc\fd\ve\x07f\rg\u009b1mh\x9b1m\x7f"

const harmless = "a�[2J�b�c�d�e�f�g�1mh�1m�"

func TestNoNameReachesTheTerminalAsACommandToIt(t *testing.T) {
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	row(w, "NAME", "SIZE")
	row(w, hostile, 5)
	eventJSON{Time: "t", Severity: "s", Kind: "k", Text: strings.ReplaceAll(hostile, "\n", "")}.row(w)
	(&doctorJSON{Findings: []findingJSON{{Level: "note", Subjects: []string{hostile}, Problem: hostile, Advice: hostile}}}).write(w)
	require.NoError(t, w.Flush())
	require.Contains(t, out.String(), harmless+"  5\n")
	require.Equal(t, exitFailed, report(&out, errors.New("no bucket "+strings.ReplaceAll(hostile, "\n", "")+"\nsee the list"), false))
	require.Contains(t, out.String(), "\nsee the list\n", "an error may have lines")
	require.NoError(t, (&progress{out: &out}).draw([]string{"one", hostile}, time.Now(), true))
	for _, r := range strings.ReplaceAll(out.String(), "\n", "") {
		require.False(t, unicode.IsControl(r), "%q in %q", r, out.String())
	}
	out.Reset()
	cmd := &cobra.Command{}
	cmd.SetOut(&out)
	require.NoError(t, (&connection{json: true}).show(cmd, map[string]string{"name": "a\x1bb"}, nil))
	require.Contains(t, out.String(), `"a\u001bb"`, "JSON keeps names as they are")
}
