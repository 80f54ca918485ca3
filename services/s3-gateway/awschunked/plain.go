package awschunked

import (
	"encoding/hex"
	"hash"
	"io"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

// plain is a body of a known length, with or without the SHA-256 that was signed.
type plain struct {
	src          io.Reader
	length, left int64
	want         *[32]byte
	hash         hash.Hash
	err          error
}

func (p *plain) Len() int64            { return p.length }
func (p *plain) Trailer(string) string { return "" }

func (p *plain) Read(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	if p.left == 0 {
		p.err = io.EOF
		return 0, io.EOF
	}
	if int64(len(b)) > p.left {
		b = b[:p.left]
	}
	n, err := p.src.Read(b)
	p.left -= int64(n)
	if p.hash != nil {
		p.hash.Write(b[:n])
	}
	switch {
	case p.left == 0:
		p.err = p.finish()
		if p.err != nil {
			return 0, p.err
		}
		p.err = io.EOF
		return n, io.EOF
	case err != nil:
		p.err = readError(err)
		return 0, p.err
	}
	return n, nil
}

func (p *plain) finish() error {
	if p.hash == nil {
		return nil
	}
	var sum [32]byte
	p.hash.Sum(sum[:0])
	if sum != *p.want {
		return s3err.XAmzContentSHA256Mismatch.
			With("ClientComputedContentSHA256", hex.EncodeToString(p.want[:])).
			With("S3ComputedContentSHA256", hex.EncodeToString(sum[:]))
	}
	return nil
}
