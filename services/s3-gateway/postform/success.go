package postform

import (
	"net/http"
	"net/url"
)

// Success says how to answer an upload that was stored.
type Success struct {
	Status   int    // 200, 201, 204 or 303
	Location string // for 303: where to send the browser
}

// Success decides the answer from success_action_redirect and success_action_status. The ETag is without quotes. A
// redirect that is no absolute URL of http or https counts as not given, as S3 has it.
func (f *Form) Success(bucket, etag string) Success {
	target := f.Get("success_action_redirect")
	if target == "" {
		target = f.Get("redirect")
	}
	if target != "" {
		if u, err := url.Parse(target); err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") {
			extra := "bucket=" + url.QueryEscape(bucket) + "&key=" + url.QueryEscape(f.Key) + "&etag=" + url.QueryEscape(`"`+etag+`"`)
			if u.RawQuery != "" {
				u.RawQuery += "&"
			}
			u.RawQuery += extra
			return Success{Status: http.StatusSeeOther, Location: u.String()}
		}
	}
	switch f.Get("success_action_status") {
	case "200":
		return Success{Status: http.StatusOK}
	case "201":
		return Success{Status: http.StatusCreated}
	}
	return Success{Status: http.StatusNoContent}
}
