// Package accesskey draws access keys and their secrets.
package accesskey

import (
	"io"

	"deuxfleurs.fr/garage/pkg/clock"
)

const (
	prefix       = "GK"
	keyLength    = 20 // as long as those of AWS, which some clients check
	secretLength = 40

	keyAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	// No sign that a shell, a URL or an ini file would treat specially.
	secretAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// Generate draws an access key with 90 bits and a secret with 238 bits of randomness. It fails only if
// the source does.
func Generate(random clock.Random) (accessKey, secret string, err error) {
	id, err := draw(random, keyAlphabet, keyLength-len(prefix))
	if err != nil {
		return "", "", err
	}
	secret, err = draw(random, secretAlphabet, secretLength)
	return prefix + id, secret, err
}

// draw picks n characters of the alphabet, each equally likely.
func draw(random clock.Random, alphabet string, n int) (string, error) {
	out := make([]byte, 0, n)
	limit := 256 - 256%len(alphabet) // bytes from here on would favour the first characters
	var b [64]byte
	for len(out) < n {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return "", err
		}
		for _, c := range b {
			if int(c) < limit && len(out) < n {
				out = append(out, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return string(out), nil
}
