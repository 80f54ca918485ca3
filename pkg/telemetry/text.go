package telemetry

import (
	"strings"
	"unicode/utf8"
)

// Clip returns a text that a client may have chosen as valid UTF-8 of at most most bytes. It keeps no memory of what was longer.
func Clip(s string, most int) string {
	if len(s) <= most && utf8.ValidString(s) {
		return s
	}
	if len(s) > most { // not in the middle of a character
		end := most
		for end > 0 && most-end < utf8.UTFMax && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end]
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > most { // each wrong byte has become three
		return Clip(s, most)
	}
	return strings.Clone(s)
}
