package move

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/stall"
)

const (
	lookTimeout    = 10 * time.Second
	connectTimeout = 10 * time.Second
	// headerTimeout is for the longest of operations, the completion of an upload of many parts.
	headerTimeout = 10 * time.Minute
	idleConns     = 64
	// idleTimeout is how long nothing may come of a body, or be taken of it, from the client and from the cluster.
	idleTimeout = time.Minute
)

// transport speaks to the cluster. A request passes as it came: nothing is added that its signature does not cover.
func transport(idle time.Duration) *stall.Transport {
	return &stall.Transport{Idle: idle, Patience: headerTimeout, Next: &http.Transport{
		DialContext: (&net.Dialer{Timeout: connectTimeout}).DialContext, TLSHandshakeTimeout: connectTimeout, ExpectContinueTimeout: time.Second,
		MaxIdleConnsPerHost: idleConns, IdleConnTimeout: time.Minute, DisableCompression: true,
	}}
}

func parse(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, errors.Newf(errors.Invalid, "%q is not the URL of an S3 service, such as https://s3.example.org", endpoint)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// selfHeader is how a server that looks at an endpoint finds that it has reached itself.
const selfHeader = "X-Garage-Migration-Source"

// lookAt says what is wrong with an endpoint: who asks it without a signature is to hear an S3 error of Garage.
func (g *Gate) lookAt(ctx context.Context, endpoint string) error {
	u, err := parse(endpoint)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String()+"/", nil)
	if err != nil {
		return err
	}
	request.Header.Set(selfHeader, g.self)
	t := transport(idleTimeout)
	defer t.CloseIdleConnections()
	answer, err := t.RoundTrip(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusMisdirectedRequest {
		return fmt.Errorf("%s is the standalone itself, not the cluster", endpoint)
	}
	if answer.StatusCode != http.StatusForbidden || answer.Header.Get("X-Amz-Request-Id") == "" {
		return fmt.Errorf("%s answered %s, and not as the S3 service of Garage does to who does not sign", endpoint, answer.Status)
	}
	return nil
}

// Handler hands requests on to where everything has moved; until then they are for next.
func (g *Gate) Handler(log *slog.Logger) func(next http.Handler) http.Handler {
	forward := sync.OnceValue(func() http.Handler { return g.proxy(log) })
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch m := g.moved.Load(); {
			case r.Header.Get(selfHeader) == g.self:
				w.WriteHeader(http.StatusMisdirectedRequest)
			case m == nil:
				next.ServeHTTP(w, r)
			case !m.Forwards:
				refuse(w, "SlowDown", "All data is moving to a cluster; try again in a moment.")
			default:
				defer stall.Body(w, r, g.idle)()
				forward().ServeHTTP(stall.Answer(w, g.idle), r)
			}
		})
	}
}

func (g *Gate) proxy(log *slog.Logger) http.Handler {
	target, err := parse(g.moved.Load().Endpoint)
	if err != nil { // the file was changed by hand
		log.Error("requests cannot be forwarded", "file", g.path, "error", err)
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, "ServiceUnavailable", "All data has moved to a cluster whose address is not known here.")
		})
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			// The host, path and query that were signed stay as they are.
			r.SetURL(target)
			r.Out.URL.Path, r.Out.URL.RawPath, r.Out.URL.RawQuery = r.In.URL.Path, r.In.URL.RawPath, r.In.URL.RawQuery
			r.Out.Host = r.In.Host
		},
		Transport: transport(g.idle), FlushInterval: -1, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			log.WarnContext(r.Context(), "a request could not be forwarded", "endpoint", target.String(), "error", err)
			refuse(w, "ServiceUnavailable", "All data has moved to a cluster that does not answer now.")
		},
	}
}

// refuse answers with an S3 error that clients try again after.
func refuse(w http.ResponseWriter, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
}
