package api

import (
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"

	"deuxfleurs.fr/garage/pkg/telemetry"
	"deuxfleurs.fr/garage/services/s3-gateway/accesslog"
)

// entry is what the access log says about a request that has ended.
func (r *Request) entry(took time.Duration, cut bool) accesslog.Entry {
	return accesslog.Entry{
		Time: r.Begun.UTC(), RequestID: r.ID, TraceID: telemetry.TraceID(r.Context()),
		Remote: r.RemoteAddr, Forwarded: accesslog.Text(strings.Join(r.Header["X-Forwarded-For"], ", ")),
		AccessKey: r.Auth.AccessKey, Name: r.Auth.Identity.Name, Operation: r.op.name, Method: r.Method, Host: accesslog.Text(r.Host),
		Path: r.path(), Query: accesslog.Query(r.URL.RawQuery), Bucket: strings.ToValidUTF8(r.Name, "\uFFFD"), Key: strings.ToValidUTF8(r.Key, "\uFFFD"),
		Protocol: r.Proto, TLS: r.TLS != nil, Status: r.w.status, Error: r.code, Cut: cut,
		Received: r.ContentLength, Sent: r.w.sent, Duration: took.Seconds(),
		UserAgent: accesslog.Text(r.UserAgent()), Referer: accesslog.Text(referer(r.Referer())),
	}
}

// path is the path as received, also of a request that was refused before it was looked at.
func (r *Request) path() string {
	if r.Path != "" {
		return r.Path
	}
	return r.URL.EscapedPath()
}

// referer is the header without the query, which may be that of a presigned link.
func referer(s string) string {
	before, _, _ := strings.Cut(s, "?")
	return before
}

// endSpan ends the span of a request.
func (r *Request) endSpan(problem any) {
	if !r.span.IsRecording() {
		return
	}
	r.span.SetName("S3 " + r.op.name)
	r.span.SetAttributes(attribute.String("rpc.system.name", "aws-api"), attribute.String("rpc.method", "S3/"+r.op.name),
		attribute.String("aws.s3.bucket", r.Name), attribute.String("http.request.method", r.Method), attribute.Int("http.response.status_code", r.w.status),
		attribute.Int64("http.response.body.size", r.w.sent))
	if r.code != "" {
		r.span.SetAttributes(attribute.String("error.type", r.code))
	}
	if problem != nil || r.w.status >= http.StatusInternalServerError {
		r.span.SetStatus(codes.Error, r.code)
	}
	r.span.End()
}
