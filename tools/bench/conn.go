package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"deuxfleurs.fr/garage/tools/s3client"
	"deuxfleurs.fr/garage/tools/sigv4"
)

// conn is one client: one connection, one request at a time.
type conn struct {
	endpoint s3client.Endpoint
	signer   *sigv4.Signer
	host     string
	tcp      net.Conn
	in       *bufio.Reader
	scratch  []byte
	// signed says that bodies are hashed and the hash signed, instead of being left out of the signature.
	signed bool
	head   bytes.Buffer
}

func dial(e s3client.Endpoint, signed bool) (*conn, error) {
	host, ok := strings.CutPrefix(strings.TrimSuffix(e.URL, "/"), "http://")
	if !ok {
		return nil, fmt.Errorf("endpoint %s: only http is measured", e.URL)
	}
	c := &conn{
		endpoint: e, host: host, signer: &sigv4.Signer{AccessKey: e.AccessKey, SecretKey: e.SecretKey, Region: e.Region},
		scratch: make([]byte, 256<<10), signed: signed,
	}
	return c, c.connect()
}

func (c *conn) connect() (err error) {
	if c.tcp, err = net.DialTimeout("tcp", c.host, 10*time.Second); err != nil {
		return err
	}
	c.in = bufio.NewReaderSize(c.tcp, 64<<10)
	return nil
}

func (c *conn) close() { _ = c.tcp.Close() } // What the server thinks of the end of a connection is not measured.

// body is bytes to send, in pieces that are not copied together.
type body [][]byte

func (b body) length() (n int) {
	for _, piece := range b {
		n += len(piece)
	}
	return n
}

// hash returns the SHA-256 in hex. It costs the client, whose time is not counted but shares the machine.
func (b body) hash() string {
	h := sha256.New()
	for _, piece := range b {
		h.Write(piece)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// answer is what of an answer is looked at.
type answer struct {
	status int
	length int64
	etag   string
	// text is the body when it was asked for.
	text []byte
}

// do sends one request and reads its answer to the end. Bodies of answers are discarded unless keep.
func (c *conn) do(method, bucket, key, query string, data body, keep bool) (answer, error) {
	req, err := sigv4.NewRequest(method, c.endpoint.URL, bucket, key, query)
	if err != nil {
		return answer{}, err
	}
	length := data.length()
	req.ContentLength = int64(length)
	hash := sigv4.Unsigned
	switch {
	case length == 0:
		hash = sigv4.Empty
	case c.signed:
		hash = data.hash()
	}
	c.signer.Sign(req, hash, time.Now())
	if err := c.tcp.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return answer{}, err
	}
	c.head.Reset()
	fmt.Fprintf(&c.head, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, req.URL.RequestURI(), c.host)
	if length > 0 || method == http.MethodPut || method == http.MethodPost {
		fmt.Fprintf(&c.head, "Content-Length: %d\r\n", length)
	}
	for _, name := range []string{"X-Amz-Date", "X-Amz-Content-Sha256", "Authorization"} {
		fmt.Fprintf(&c.head, "%s: %s\r\n", name, req.Header.Get(name))
	}
	c.head.WriteString("\r\n")
	buffers := append(net.Buffers{c.head.Bytes()}, data...)
	if _, err := buffers.WriteTo(c.tcp); err != nil {
		return answer{}, fmt.Errorf("%s /%s/%s: %w", method, bucket, key, err)
	}
	a, err := c.read(method, keep)
	if err != nil {
		return a, fmt.Errorf("%s /%s/%s: %w", method, bucket, key, err)
	}
	if a.status >= 300 {
		return a, fmt.Errorf("%s /%s/%s: status %d: %.300s", method, bucket, key, a.status, a.text)
	}
	return a, nil
}

func (c *conn) read(method string, keep bool) (a answer, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return a, err
	}
	if len(line) < 12 {
		return a, fmt.Errorf("unexpected %q", line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, fmt.Errorf("unexpected %q", line)
	}
	chunked, closing := false, false
	a.length = -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return a, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		text := string(bytes.TrimSpace(value))
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if a.length, err = strconv.ParseInt(text, 10, 64); err != nil {
				return a, err
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = text == "chunked"
		case bytes.EqualFold(name, []byte("etag")):
			a.etag = text
		case bytes.EqualFold(name, []byte("connection")):
			closing = strings.EqualFold(text, "close")
		}
	}
	var source io.Reader
	switch {
	case method == http.MethodHead || a.status == 204 || a.status == 304:
	case chunked:
		source = &dechunker{in: c.in}
	case a.length >= 0:
		source = io.LimitReader(c.in, a.length)
	default:
		return a, fmt.Errorf("status %d: an answer without length", a.status)
	}
	if source != nil {
		if keep || a.status >= 300 {
			a.text, err = io.ReadAll(source)
		} else {
			var n int64
			n, err = io.CopyBuffer(discard{}, source, c.scratch)
			if err == nil && a.length >= 0 && n != a.length {
				err = io.ErrUnexpectedEOF
			}
		}
	}
	if err == nil && closing {
		c.close()
		err = c.connect()
	}
	return a, err
}

// discard is io.Discard without ReadFrom, which would use a small buffer of its own.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// dechunker reads a body in chunked transfer coding.
type dechunker struct {
	in   *bufio.Reader
	left int64
	done bool
}

func (d *dechunker) Read(p []byte) (int, error) {
	if d.done {
		return 0, io.EOF
	}
	if d.left == 0 {
		line, err := d.in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if d.left, err = strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 64); err != nil {
			return 0, err
		}
		if d.left == 0 {
			d.done = true
			_, err := d.in.ReadSlice('\n')
			if err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
	}
	n, err := d.in.Read(p[:min(int64(len(p)), d.left)])
	if d.left -= int64(n); d.left == 0 && err == nil {
		_, err = d.in.ReadSlice('\n')
	}
	return n, err
}
