package api

import (
	"net/http"
	"sync/atomic"
	"time"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/body"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

// getObject is GetObject.
func (a *API) getObject(w *Response, r *Request) error {
	o, sel, err := a.describe(w, r)
	if err != nil {
		return err
	}
	reader, err := a.openObject(r, &o, sel)
	if err != nil && a.replaced(r, &o) { // while it was opened: what the first answer spoke of is gone
		w.reset()
		if o, sel, err = a.describe(w, r); err != nil {
			return err
		}
		reader, err = a.openObject(r, &o, sel)
	}
	if err != nil {
		return err
	}
	defer reader.Close()
	guard := a.guardAnswer(w)
	reader.Evictable(guard.evict)
	w.WriteHeader(sel.status())
	if _, err := reader.WriteTo(guard); err != nil {
		r.Cut(err)
	}
	return nil
}

// openObject waits for the first bytes of what is selected.
func (a *API) openObject(r *Request, o *meta.Object, sel selection) (*body.Reader, error) {
	reader := a.Bodies.Open(r.Context(), o, sel.from, sel.to)
	if err := reader.First(); err != nil {
		reader.Close()
		return nil, err
	}
	return reader, nil
}

// replaced reports whether a key has another version by now, or none.
func (a *API) replaced(r *Request, o *meta.Object) bool {
	now, err := a.object(r, r.Bucket.ID, r.Key)
	return errors.IsEntity(err, errors.NotFound, errors.Object) || err == nil && now.Version != o.Version
}

// selection is what of an object is asked for.
type selection struct {
	byteRange
	partial bool // the answer is 206
	part    int  // 0: no part was asked for
}

func (s selection) status() int {
	if s.partial {
		return http.StatusPartialContent
	}
	return http.StatusOK
}

// describe finds the object, checks conditions, and sets the headers of GetObject and HeadObject.
func (a *API) describe(w *Response, r *Request) (meta.Object, selection, error) {
	if err := checkVersionID(r); err != nil {
		return meta.Object{}, selection{}, err
	}
	o, err := a.object(r, r.Bucket.ID, r.Key)
	if err != nil {
		return o, selection{}, err
	}
	cond := readConditions(r.Header, "")
	if err := cond.check(&o, a.Clock.Now()); err != nil {
		if errors.IsTarget(err, s3err.NotModified) {
			w.set("ETag", quote(o.ETag))
			w.set("Last-Modified", httpTime(o.Modified()))
		}
		return o, selection{}, err
	}
	sel, err := selects(r, &o)
	if err != nil {
		return o, sel, err
	}
	w.object(&o)
	if err := w.overrides(r); err != nil {
		return o, sel, err
	}
	if sel.partial {
		w.set("Content-Range", sel.contentRange(o.Size))
	}
	if sel.part > 0 && o.Multipart {
		w.set("x-amz-mp-parts-count", itoa(int64(len(o.Parts))))
	}
	if r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" {
		w.selectedChecksum(&o, sel)
	}
	w.set("Content-Length", itoa(sel.to-sel.from))
	return o, sel, nil
}

// selects reads Range and partNumber.
func selects(r *Request, o *meta.Object) (selection, error) {
	whole := selection{byteRange: byteRange{0, o.Size}}
	rangeHeader := r.Header.Get("Range")
	if r.Query.Has("partNumber") {
		if rangeHeader != "" {
			return whole, s3err.InvalidRequest.Msg("Cannot specify both Range header and partNumber query parameter")
		}
		return selectPart(r, o)
	}
	if rangeHeader == "" || !ifRange(r.Header.Get("If-Range"), o) {
		return whole, nil
	}
	b, ok, err := parseRange(rangeHeader, o.Size)
	if err != nil || !ok {
		return whole, err
	}
	return selection{byteRange: b, partial: true}, nil
}

// ifRange reports whether If-Range lets a Range hold.
func ifRange(v string, o *meta.Object) bool {
	if v == "" {
		return true
	}
	if t, err := http.ParseTime(v); err == nil {
		return o.Modified().Truncate(time.Second).Equal(t)
	}
	return v == quote(o.ETag)
}

func selectPart(r *Request, o *meta.Object) (selection, error) {
	n, err := r.Query.Int("partNumber", 0, 1, maxParts)
	if err != nil {
		return selection{}, err
	}
	if !o.Multipart {
		if n != 1 {
			return selection{}, noPart(n, 1)
		}
		return selection{byteRange: byteRange{0, o.Size}, part: 1, partial: o.Size > 0}, nil
	}
	var from int64
	for _, p := range o.Parts {
		if p.Number == n {
			return selection{byteRange: byteRange{from, from + p.Size}, part: n, partial: p.Size > 0}, nil
		}
		from += p.Size
	}
	return selection{}, noPart(n, len(o.Parts))
}

// maxParts is the highest number of a part.
const maxParts = 10000

func noPart(n, count int) error {
	return s3err.InvalidPartNumber.With("PartNumberRequested", itoa(int64(n))).With("ActualPartCount", itoa(int64(count)))
}

// selectedChecksum sets the checksum of what is sent, if it is known: that of the object, or of the part.
func (w *Response) selectedChecksum(o *meta.Object, sel selection) {
	switch {
	case sel.part > 0 && o.Multipart:
		for _, p := range o.Parts {
			if p.Number == sel.part {
				w.checksum(meta.Checksum{Algorithm: o.Checksum.Algorithm, Type: o.Checksum.Type, Value: p.Checksum})
			}
		}
	case !sel.partial || sel.part > 0:
		w.checksum(o.Checksum)
	}
}

// overridable are the headers that a response-* parameter sets.
var overridable = [...]struct{ param, header string }{
	{"response-cache-control", "Cache-Control"},
	{"response-content-disposition", "Content-Disposition"},
	{"response-content-encoding", "Content-Encoding"},
	{"response-content-language", "Content-Language"},
	{"response-content-type", "Content-Type"},
	{"response-expires", "Expires"},
}

// overrides sets the headers that the query asks for.
func (w *Response) overrides(r *Request) error {
	if len(r.Query) == 0 {
		return nil
	}
	for _, o := range overridable {
		v, ok := r.Query.Lookup(o.param)
		if !ok {
			continue
		}
		if r.Auth.Anonymous {
			return s3err.InvalidRequest.Msg("Request specific response headers cannot be used for anonymous GET requests.")
		}
		w.set(o.header, v)
	}
	return nil
}

// guardAnswer makes w give up on a client that takes nothing, or too slowly.
func (a *API) guardAnswer(w *Response) *answerGuard {
	return &answerGuard{w: w, control: http.NewResponseController(w.ResponseWriter), pace: pace{idle: a.IdleTimeout, minRate: a.MinRate}}
}

type answerGuard struct {
	w       *Response
	control *http.ResponseController
	pace
	evicted atomic.Bool
}

// evict makes the next write, or the one under way, fail. It is called from another goroutine.
func (g *answerGuard) evict() {
	g.evicted.Store(true)
	_ = g.control.SetWriteDeadline(time.Unix(1, 0)) // test recorders have none
}

// Write implements io.Writer.
func (g *answerGuard) Write(p []byte) (int, error) {
	if now := time.Now(); g.due(now) {
		if !g.extend(now) {
			return 0, errors.Newf(errors.Canceled, "the client takes less than %d bytes per second", g.minRate)
		}
		_ = g.control.SetWriteDeadline(now.Add(g.idle)) // test recorders have none
	}
	if g.evicted.Load() { // asked after the deadline was set, so that it cannot be overlooked
		return 0, errors.Newf(errors.Overloaded, "memory is short and this was the slowest request")
	}
	n, err := g.w.Write(p)
	g.n += int64(n)
	return n, errors.Wrap(errors.Canceled, err, "sending a body")
}
