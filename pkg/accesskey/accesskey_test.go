package accesskey

import (
	"bytes"
	"io"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
)

func TestKeysLookAsClientsExpectAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		key, secret, err := Generate(clock.SystemRandom)
		require.NoError(t, err)
		require.Regexp(t, regexp.MustCompile(`^GK[A-Z2-7]{18}$`), key)
		require.Regexp(t, regexp.MustCompile(`^[A-Za-z0-9]{40}$`), secret)
		require.False(t, seen[key] || seen[secret])
		seen[key], seen[secret] = true, true
	}
}

func TestBytesThatWouldFavourCharactersAreSkipped(t *testing.T) {
	// 248 = 4 × 62: the bytes from 248 on would draw the first characters more often.
	source := append(bytes.Repeat([]byte{255}, 60), 0, 61, 62, 247)
	text, err := draw(bytes.NewReader(source), secretAlphabet, 4)
	require.NoError(t, err)
	require.Equal(t, "A9A9", text)
	_, err = draw(bytes.NewReader(nil), secretAlphabet, 1)
	require.ErrorIs(t, err, io.EOF)
}
