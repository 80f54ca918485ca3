package awschunked

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4"
)

const (
	// lineMax bounds a line between chunks, its end included; a signed one takes about 100 bytes.
	lineMax = 512
	// chunkMin is the least size of any chunk but the last.
	chunkMin = 8 << 10
)

// chunked decodes aws-chunked.
type chunked struct {
	src       io.Reader
	seed      *sigv4.Seed // nil if the chunks are not signed
	length    int64
	left      int64 // payload bytes still to come
	inChunk   int64 // of which in this chunk
	size      int64 // of this chunk
	previous  string
	signature string // of this chunk, as sent
	hash, mac hash.Hash
	toSign    []byte
	sum       [32]byte // here, because on the stack it would escape at every chunk

	announced []string
	trailer   bool // a trailer is expected
	values    map[string]string

	err  error
	r, w int // what of buf is read and filled
	buf  [lineMax]byte
}

func newChunked(src io.Reader, length int64, seed *sigv4.Seed, announced []string, trailer bool) *chunked {
	c := &chunked{src: src, length: length, left: length, seed: seed, announced: announced, trailer: trailer}
	if seed != nil {
		c.previous = seed.Signature
		c.hash = sha256.New()
		c.mac = seed.MAC()
	}
	return c
}

func (c *chunked) Len() int64                 { return c.length }
func (c *chunked) Trailer(name string) string { return c.values[name] }

func (c *chunked) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if len(p) == 0 && c.left > 0 {
		return 0, nil
	}
	n, err := c.read(p)
	c.err = err
	if err != nil && err != io.EOF {
		return 0, err
	}
	return n, err
}

func (c *chunked) read(p []byte) (int, error) {
	if c.left == 0 { // only for an empty payload: otherwise the last bytes brought the end with them
		return 0, c.end()
	}
	if c.inChunk == 0 {
		if err := c.nextChunk(); err != nil {
			return 0, err
		}
	}
	if int64(len(p)) > c.inChunk {
		p = p[:c.inChunk]
	}
	n, err := c.payload(p)
	if err != nil {
		return 0, err
	}
	if c.hash != nil {
		c.hash.Write(p[:n])
	}
	c.inChunk -= int64(n)
	c.left -= int64(n)
	if c.inChunk == 0 {
		if err := c.endChunk(); err != nil {
			return 0, err
		}
		if c.left == 0 {
			return n, c.end()
		}
	}
	return n, nil
}

// payload reads what the line buffer holds too much, then straight from the source.
func (c *chunked) payload(p []byte) (int, error) {
	had := copy(p, c.buf[c.r:c.w])
	c.r += had
	if had == len(p) {
		return had, nil
	}
	for range 100 {
		n, err := c.src.Read(p[had:])
		if n > 0 {
			return had + n, nil
		}
		if err != nil {
			return 0, readError(err)
		}
	}
	return 0, readError(io.ErrNoProgress)
}

// line reads up to and including a line feed. The slice holds until the next call. At the end of the source it gives
// what is left and io.EOF.
func (c *chunked) line() ([]byte, error) {
	searched := 0
	for range 100 + lineMax {
		if i := bytes.IndexByte(c.buf[c.r+searched:c.w], '\n'); i >= 0 {
			l := c.buf[c.r : c.r+searched+i+1]
			c.r += len(l)
			return l, nil
		}
		searched = c.w - c.r
		if c.r > 0 {
			c.w = copy(c.buf[:], c.buf[c.r:c.w])
			c.r = 0
		}
		if c.w == len(c.buf) {
			return nil, notChunked("a line is longer than %d bytes", lineMax)
		}
		n, err := c.src.Read(c.buf[c.w:])
		c.w += n
		if n == 0 && err != nil {
			if err == io.EOF {
				l := c.buf[c.r:c.w]
				c.r = c.w
				return l, io.EOF
			}
			return nil, readError(err)
		}
	}
	return nil, readError(io.ErrNoProgress)
}

func notChunked(format string, args ...any) error {
	return s3err.IncompleteBody.Msg("The request body is not in aws-chunked encoding: "+format, args...)
}

// header reads the line that begins a chunk and sets its size and its signature.
func (c *chunked) header() error {
	l, err := c.line()
	if err == io.EOF {
		return s3err.IncompleteBody.Because(io.ErrUnexpectedEOF)
	}
	if err != nil {
		return err
	}
	if len(l) < 2 || l[len(l)-2] != '\r' {
		return notChunked("a chunk's first line must end in CR LF")
	}
	head, extensions, hasExtensions := bytes.Cut(l[:len(l)-2], []byte{';'})
	size, ok := parseHex(head)
	if !ok {
		return notChunked("a chunk must begin with its size in hexadecimal")
	}
	if c.seed != nil {
		if c.signature, ok = chunkSignature(extensions); !ok {
			return s3err.SignatureDoesNotMatch.Msg("A chunk of the body has no well-formed chunk-signature.")
		}
	} else if hasExtensions && len(extensions) == 0 {
		return notChunked("an empty chunk extension")
	}
	c.size = size
	return nil
}

func parseHex(s []byte) (int64, bool) {
	if len(s) == 0 || len(s) > 15 {
		return 0, false
	}
	var n int64
	for _, b := range s {
		switch {
		case '0' <= b && b <= '9':
			b -= '0'
		case 'a' <= b && b <= 'f':
			b -= 'a' - 10
		case 'A' <= b && b <= 'F':
			b -= 'A' - 10
		default:
			return 0, false
		}
		n = n<<4 | int64(b)
	}
	return n, true
}

// chunkSignature finds the one chunk-signature among the extensions; others are not signed and mean nothing.
func chunkSignature(extensions []byte) (string, bool) {
	found := ""
	for len(extensions) > 0 {
		var e []byte
		e, extensions, _ = bytes.Cut(extensions, []byte{';'})
		value, ok := bytes.CutPrefix(bytes.Trim(e, " \t"), []byte("chunk-signature="))
		if !ok {
			continue
		}
		if found != "" || len(value) != 64 {
			return "", false
		}
		found = string(value)
	}
	return found, found != ""
}

// nextChunk begins a chunk that has payload in it.
func (c *chunked) nextChunk() error {
	before := c.size
	if err := c.header(); err != nil {
		return err
	}
	if c.size == 0 || c.size > c.left {
		return s3err.IncompleteBody.Msg("The payload of the request has not the length that x-amz-decoded-content-length declares.")
	}
	if before > 0 && before < chunkMin {
		return s3err.InvalidChunkSizeError
	}
	c.inChunk = c.size
	return nil
}

// endChunk reads the line end that follows a chunk's payload and checks its signature.
func (c *chunked) endChunk() error {
	l, err := c.line()
	if err == io.EOF {
		return s3err.IncompleteBody.Because(io.ErrUnexpectedEOF)
	}
	if err != nil {
		return err
	}
	if string(l) != "\r\n" {
		return notChunked("a chunk's payload must be followed by CR LF")
	}
	return c.verifyChunk()
}

var emptySHA256 = func() string {
	sum := sha256.Sum256(nil)
	return hex.EncodeToString(sum[:])
}()

func (c *chunked) verifyChunk() error {
	if c.seed == nil {
		return nil
	}
	c.hash.Sum(c.sum[:0])
	c.hash.Reset()
	c.begin("AWS4-HMAC-SHA256-PAYLOAD")
	c.toSign = append(c.toSign, emptySHA256...)
	c.toSign = append(c.toSign, '\n')
	c.toSign = hex.AppendEncode(c.toSign, c.sum[:])
	if err := c.compare(c.signature); err != nil {
		return err
	}
	c.previous = c.signature
	return nil
}

// compare signs toSign and compares with what was sent.
func (c *chunked) compare(sent string) error {
	var want [64]byte
	c.mac.Reset()
	c.mac.Write(c.toSign)
	hex.Encode(want[:], c.mac.Sum(c.sum[:0]))
	if !sigv4.Equal(want, sent) {
		return s3err.SignatureDoesNotMatch.With("StringToSign", string(c.toSign)).With("SignatureProvided", sent)
	}
	return nil
}

// begin writes what all strings to sign of a body have in common.
func (c *chunked) begin(kind string) {
	c.toSign = append(c.toSign[:0], kind...)
	for _, s := range [...]string{c.seed.Timestamp, c.seed.Scope, c.previous} {
		c.toSign = append(c.toSign, '\n')
		c.toSign = append(c.toSign, s...)
	}
	c.toSign = append(c.toSign, '\n')
}

// end reads the chunk of size 0 and the trailer: io.EOF if all is right.
func (c *chunked) end() error {
	if err := c.header(); err != nil {
		return err
	}
	if c.size != 0 {
		return s3err.IncompleteBody.Msg("The payload of the request is longer than x-amz-decoded-content-length declares.")
	}
	if err := c.verifyChunk(); err != nil {
		return err
	}
	if err := c.readTrailer(); err != nil {
		return err
	}
	return io.EOF
}
