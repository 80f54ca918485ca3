package xmlapi

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTextComesBackAsItWas(t *testing.T) {
	for _, text := range []string{"", "plain", `a<b>&"c'`, "tab\tline\nreturn\r", "größe ☃ 🚀", strings.Repeat("x&", 1000)} {
		w := New("Result")
		w.Text("Key", text)
		w.Close("Result")
		var got struct{ Key string }
		require.NoError(t, xml.Unmarshal(w.Bytes(), &got))
		require.Equal(t, text, got.Key)
		w.Free()
	}
}

func TestControlCharactersAreWrittenAsReferences(t *testing.T) {
	require.Equal(t, "a&#x1;b&#x7f;", string(appendEscaped(nil, "a\x01b\x7f")))
	require.Equal(t, "\uFFFD", string(appendEscaped(nil, "\xff")))
}

func TestTimesHaveWholeSeconds(t *testing.T) {
	w := NewPlain()
	w.Time("T", time.Date(2026, 1, 2, 3, 4, 5, 999e6, time.UTC))
	require.Contains(t, string(w.Bytes()), "<T>2026-01-02T03:04:05.000Z</T>")
}

func TestBadDocumentsAreRefused(t *testing.T) {
	var d Delete
	require.NoError(t, Decode([]byte(`<?xml version="1.0"?><!-- c --><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>a&#13;b</Key></Object></Delete> `), "Delete", &d))
	require.Equal(t, "a\rb", d.Objects[0].Key)
	for name, doc := range map[string]string{
		"empty":         ``,
		"not XML":       `hello`,
		"cut":           `<Delete><Object>`,
		"other root":    `<Create></Create>`,
		"namespace":     `<Delete xmlns="http://example.com/"></Delete>`,
		"document type": `<!DOCTYPE Delete [<!ENTITY a "b">]><Delete></Delete>`,
		"entity":        `<Delete><Object><Key>&lol;</Key></Object></Delete>`,
		"two roots":     `<Delete></Delete><Delete></Delete>`,
		"text after":    `<Delete></Delete>x`,
		"deep":          strings.Repeat("<Delete>", 100) + strings.Repeat("</Delete>", 100),
		"bad number":    `<Delete><Quiet>maybe</Quiet></Delete>`,
		"not UTF-8":     "<Delete><Object><Key>\xff</Key></Object></Delete>",
	} {
		require.Error(t, Decode([]byte(doc), "Delete", &Delete{}), name)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`<Delete><Quiet>true</Quiet><Object><Key>k</Key></Object></Delete>`))
	f.Add([]byte(`<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>a&amp;b&#10;</Key><ETag>"x"</ETag></Object></Delete>`))
	f.Add([]byte(`<!DOCTYPE x><Delete/>`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		var d Delete
		if Decode(doc, "Delete", &d) != nil {
			return
		}
		for _, o := range d.Objects {
			w := New("R")
			w.Text("Key", o.Key)
			w.Close("R")
			var got struct{ Key string }
			require.NoError(t, xml.Unmarshal(w.Bytes(), &got))
			require.Equal(t, o.Key, got.Key)
			w.Free()
		}
	})
}
