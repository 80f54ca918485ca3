package api

import (
	"io"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/s3-gateway/awschunked"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/xmlapi"
)

// maxXML is the size of the largest XML body in bytes: ten thousand parts with
// checksums, or a thousand keys of the longest kind, all escaped.
const maxXML = 8 << 20

// readBody reads a whole body of at most limit bytes and checks it against the signature and the digests.
// asked is what the request offered for checking.
func (a *API) readBody(r *Request, limit int64) (p []byte, asked checksum.Asked, err error) {
	if asked, err = checksum.FromHeaders(r.Header); err != nil {
		return nil, asked, err
	}
	if r.ContentLength > 2*limit {
		return nil, asked, s3err.MaxMessageLengthExceeded.With("MaxMessageLengthBytes", itoa(limit))
	}
	a.guardBody(r)
	b, err := awschunked.New(r.Request, r.Auth.Payload, r.Auth.Seed)
	if err != nil {
		return nil, asked, err
	}
	if b.Len() > limit {
		return nil, asked, s3err.MaxMessageLengthExceeded.With("MaxMessageLengthBytes", itoa(limit))
	}
	// The length is declared by the client: memory is taken as bytes arrive.
	if p, err = io.ReadAll(b); err != nil {
		return nil, asked, err
	}
	if asked.MD5 == nil && asked.Algorithm == checksum.None {
		return p, asked, nil
	}
	stages := a.Hashers.Stages(0, asked.Algorithm)
	defer stages.Close()
	see(stages, p)
	return p, asked, asked.Check(stages.Sums(), b.Trailer(asked.Algorithm.Header()))
}

// readXML reads a body that is one element named root.
func (a *API) readXML(r *Request, root string, v any) (checksum.Asked, error) {
	p, asked, err := a.readBody(r, maxXML)
	if err != nil {
		return asked, err
	}
	if len(p) == 0 {
		return asked, s3err.MissingRequestBodyError
	}
	return asked, malformed(xmlapi.Decode(p, root, v))
}

func malformed(err error) error {
	if err == nil {
		return nil
	}
	return s3err.MalformedXML.Because(errors.Wrap(errors.Invalid, err, "reading XML"))
}
