package api

import (
	"bytes"
	"context"

	"golang.org/x/sync/semaphore"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/s3-gateway/awschunked"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/xmlapi"
)

// maxXML is the size of the largest XML body in bytes: ten thousand parts with
// checksums, or a thousand keys of the longest kind, all escaped.
const maxXML = 8 << 20

const (
	// smallXML is the size in bytes up to which a body of XML is read without asking for room.
	smallXML = 64 << 10
	// roomForXML is how many bytes the larger bodies of XML may have together.
	roomForXML = 8 * maxXML
	// minXMLRate is how many bytes per second a larger body has at least, so that slow clients do not keep the room.
	minXMLRate = 64 << 10
	// maxDecoding is how many documents are decoded at the same time, which may take several times their size.
	maxDecoding = 8
)

// xmlRoom bounds the memory of XML bodies, which no pool counts.
type xmlRoom struct {
	large    *semaphore.Weighted
	decoding chan struct{}
}

func newXMLRoom() xmlRoom {
	return xmlRoom{large: semaphore.NewWeighted(roomForXML), decoding: make(chan struct{}, maxDecoding)}
}

// takeRoom waits until a body of n bytes may be read; the room is kept until the request ends.
func (a *API) takeRoom(r *Request, n int64) error {
	if n <= smallXML {
		return nil
	}
	ctx, cancel := a.step(r)
	defer cancel()
	if err := a.xml.large.Acquire(ctx, n); err != nil {
		if r.Context().Err() == nil {
			return s3err.SlowDown.Because(err)
		}
		return errors.Wrap(errors.Canceled, err, "waiting for room for a body of XML")
	}
	r.xmlRoom += n
	return nil
}

// decodeXML decodes a document. It takes the processor only, so the wait for those before it is short.
func (a *API) decodeXML(ctx context.Context, p []byte, root string, v any) error {
	select {
	case a.xml.decoding <- struct{}{}:
		defer func() { <-a.xml.decoding }()
		return malformed(xmlapi.Decode(p, root, v))
	case <-ctx.Done():
		return errors.Wrap(errors.Canceled, ctx.Err(), "waiting to decode a body of XML")
	}
}

// readBody reads a whole body of at most limit bytes and checks it against the signature and the digests.
// asked is what the request offered for checking.
func (a *API) readBody(r *Request, limit int64) (p []byte, asked checksum.Asked, err error) {
	if asked, err = checksum.FromHeaders(r.Header); err != nil {
		return nil, asked, err
	}
	if r.ContentLength > 2*limit {
		return nil, asked, s3err.MaxMessageLengthExceeded.With("MaxMessageLengthBytes", itoa(limit))
	}
	g := a.guardBody(r)
	b, err := awschunked.New(r.Request, r.Auth.Payload, r.Auth.Seed)
	if err != nil {
		return nil, asked, err
	}
	if b.Len() > limit {
		return nil, asked, s3err.MaxMessageLengthExceeded.With("MaxMessageLengthBytes", itoa(limit))
	}
	if err = a.takeRoom(r, b.Len()); err != nil {
		return nil, asked, err
	}
	if b.Len() > smallXML {
		g.minRate = max(g.minRate, minXMLRate)
	}
	whole := bytes.NewBuffer(make([]byte, 0, b.Len()+bytes.MinRead))
	if _, err = whole.ReadFrom(b); err != nil {
		return nil, asked, err
	}
	p = whole.Bytes()
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
	return asked, a.decodeXML(r.Context(), p, root, v)
}

func malformed(err error) error {
	if err == nil {
		return nil
	}
	return s3err.MalformedXML.Because(errors.Wrap(errors.Invalid, err, "reading XML"))
}
