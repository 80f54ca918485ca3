package api

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

// conditions are the conditional headers of a request, or those of a copy's source.
type conditions struct {
	match, noneMatch               []string // ETags without quotes, "*"; nil: not given
	modifiedSince, unmodifiedSince time.Time
}

func readConditions(h http.Header, prefix string) conditions {
	return conditions{
		match: etags(h[prefix+"If-Match"]), noneMatch: etags(h[prefix+"If-None-Match"]),
		modifiedSince: since(h, prefix+"If-Modified-Since"), unmodifiedSince: since(h, prefix+"If-Unmodified-Since"),
	}
}

// since reads a date; one that is no date is no condition.
func since(h http.Header, name string) time.Time {
	v := h.Get(name)
	if v == "" {
		return time.Time{}
	}
	if t, err := http.ParseTime(v); err == nil {
		return t
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return time.Time{}
	}
	return t
}

// etags reads a list of ETags. Quotes may be missing.
func etags(values []string) []string {
	if values == nil {
		return nil
	}
	list := []string{}
	for _, v := range values {
		for tag := range strings.SplitSeq(v, ",") {
			tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
			if tag = strings.Trim(tag, `"`); tag != "" {
				list = append(list, tag)
			}
		}
	}
	return list
}

func anyOf(list []string, etag string) bool {
	return slices.Contains(list, "*") || slices.Contains(list, etag)
}

// check evaluates the conditions for reading an object, in the order of RFC 9110,
// section 13.2.2. It answers PreconditionFailed or NotModified.
func (c conditions) check(o *meta.Object, now time.Time) error {
	modified := o.Modified().Truncate(time.Second)
	switch {
	case c.match != nil:
		if !anyOf(c.match, o.ETag) {
			return s3err.PreconditionFailed.With("Condition", "If-Match")
		}
	case !c.unmodifiedSince.IsZero():
		if modified.After(c.unmodifiedSince) {
			return s3err.PreconditionFailed.With("Condition", "If-Unmodified-Since")
		}
	}
	switch {
	case c.noneMatch != nil:
		if anyOf(c.noneMatch, o.ETag) {
			return s3err.NotModified
		}
	case !c.modifiedSince.IsZero() && !c.modifiedSince.After(now):
		if !modified.After(c.modifiedSince) {
			return s3err.NotModified
		}
	}
	return nil
}

// writeCondition reads the conditions of a PUT, a copy's target or a completed upload.
func writeCondition(h http.Header) (meta.Condition, error) {
	c := meta.Condition{IfMatch: etags(h["If-Match"]), IfNoneMatch: etags(h["If-None-Match"])}
	if c.IfNoneMatch != nil && !slices.Equal(c.IfNoneMatch, []string{"*"}) {
		return c, notImplementedHeader("If-None-Match")
	}
	if c.IfMatch != nil && c.IfNoneMatch != nil {
		return c, s3err.NotImplemented.Msg("If-Match and If-None-Match cannot be used together.")
	}
	return c, refuseDates(h)
}

// refuseDates refuses conditions on dates, which S3 knows only for reading.
func refuseDates(h http.Header) error {
	for _, name := range []string{"If-Modified-Since", "If-Unmodified-Since"} {
		if h[name] != nil {
			return notImplementedHeader(name)
		}
	}
	return nil
}

// unconditional refuses every condition, for operations that S3 knows without.
func unconditional(h http.Header) error {
	for _, name := range []string{"If-Match", "If-None-Match"} {
		if h[name] != nil {
			return notImplementedHeader(name)
		}
	}
	return refuseDates(h)
}

// early refuses a write whose condition does not hold even before its body is read. The
// store decides at the commit.
func (a *API) early(r *Request, c meta.Condition) error {
	if c.Unconditional() {
		return nil
	}
	ctx, cancel := a.step(r)
	defer cancel()
	o, err := a.Meta.Object(ctx, r.Bucket.ID, r.Key)
	switch {
	case errors.IsEntity(err, errors.NotFound, errors.Object):
		if c.IfMatch != nil {
			return err
		}
		return nil
	case err != nil:
		return err
	case c.IfMatch != nil && !anyOf(c.IfMatch, o.ETag):
		return s3err.PreconditionFailed.With("Condition", "If-Match")
	case c.IfNoneMatch != nil && anyOf(c.IfNoneMatch, o.ETag):
		return s3err.PreconditionFailed.With("Condition", "If-None-Match")
	}
	return nil
}
