package xmlapi

import (
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// Namespace is that of all S3 answers but errors.
const Namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

const header = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

// Writer builds a document. Get one from New and Free it.
type Writer struct {
	buf []byte
}

var writers = sync.Pool{New: func() any { return &Writer{buf: make([]byte, 0, 4<<10)} }}

const maxPooled = 1 << 20

// New begins a document with the root element, in S3's namespace.
func New(root string) *Writer {
	w := NewPlain()
	w.buf = append(w.buf, '<')
	w.buf = append(w.buf, root...)
	w.buf = append(w.buf, ` xmlns="`+Namespace+`">`...)
	return w
}

// NewPlain begins a document without a root element.
func NewPlain() *Writer {
	w := writers.Get().(*Writer)
	w.buf = append(w.buf[:0], header...)
	return w
}

// Free gives the writer back; its Bytes are no longer valid.
func (w *Writer) Free() {
	if cap(w.buf) <= maxPooled {
		writers.Put(w)
	}
}

// Bytes is the document so far.
func (w *Writer) Bytes() []byte { return w.buf }

// Open begins an element.
func (w *Writer) Open(name string) {
	w.buf = append(w.buf, '<')
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, '>')
}

// Close ends an element.
func (w *Writer) Close(name string) {
	w.buf = append(w.buf, '<', '/')
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, '>')
}

// Text writes an element with a text.
func (w *Writer) Text(name, value string) {
	w.Open(name)
	w.buf = appendEscaped(w.buf, value)
	w.Close(name)
}

// Raw writes text into the element that is open.
func (w *Writer) Raw(text string) { w.buf = appendEscaped(w.buf, text) }

// Optional writes an element unless its text is empty.
func (w *Writer) Optional(name, value string) {
	if value != "" {
		w.Text(name, value)
	}
}

// ETag writes an ETag element in its quotes.
func (w *Writer) ETag(etag string) {
	w.buf = append(w.buf, "<ETag>&quot;"...)
	w.buf = appendEscaped(w.buf, etag)
	w.buf = append(w.buf, "&quot;</ETag>"...)
}

// Int writes an element with a number.
func (w *Writer) Int(name string, value int64) {
	w.Open(name)
	w.buf = strconv.AppendInt(w.buf, value, 10)
	w.Close(name)
}

// Bool writes an element with true or false.
func (w *Writer) Bool(name string, value bool) {
	w.Open(name)
	w.buf = strconv.AppendBool(w.buf, value)
	w.Close(name)
}

// Time writes an element with a time, in whole seconds like the header Last-Modified.
func (w *Writer) Time(name string, t time.Time) {
	w.Open(name)
	w.buf = t.UTC().Truncate(time.Second).AppendFormat(w.buf, "2006-01-02T15:04:05.000Z")
	w.Close(name)
}

// appendEscaped writes text so that a reader gets it back: what XML 1.0 has no
// room for is written as a character reference, as S3 does.
func appendEscaped(dst []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError && r != 0xFFFE && r != 0xFFFF {
				i += size
				continue
			}
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\uFFFD"...)
			i += size
			start = i
			continue
		}
		var ref string
		switch c {
		case '&':
			ref = "&amp;"
		case '<':
			ref = "&lt;"
		case '>':
			ref = "&gt;"
		case '"':
			ref = "&quot;"
		case '\t', '\n', '\r':
			ref = "&#x" + string("9A--D"[c-'\t']) + ";"
		default:
			if c >= ' ' && c != 0x7F {
				i++
				continue
			}
			ref = "&#x" + strconv.FormatUint(uint64(c), 16) + ";"
		}
		dst = append(dst, s[start:i]...)
		dst = append(dst, ref...)
		i++
		start = i
	}
	return append(dst, s[start:]...)
}
