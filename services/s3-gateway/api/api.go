package api

import (
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/telemetry"
	"deuxfleurs.fr/garage/services/s3-gateway/accesslog"
	"deuxfleurs.fr/garage/services/s3-gateway/body"
	"deuxfleurs.fr/garage/services/s3-gateway/checksum"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4"
)

// Config is what the API needs to know. All fields must be set.
type Config struct {
	Region      string
	Strict      bool          // accept only signatures for Region, not also for us-east-1
	RootDomains []string      // a host below one of these names a bucket
	MaxRequests int           // requests served at the same time; more are answered SlowDown
	StepTimeout time.Duration // how long one call of a store may take
	IdleTimeout time.Duration // how long a client may send or take nothing
	MinRate     int           // bytes per second below which a client is cut, after IdleTimeout
	CacheTime   time.Duration // how long buckets are kept; 0: not at all
}

// Deps is what the API works with.
type Deps struct {
	Meta       meta.Store
	Bodies     *body.Store
	Pool       *buffer.Pool
	Identities identity.Source
	Hashers    *checksum.Hashers
	Clock      clock.Clock
	Random     clock.Random
	Log        *slog.Logger
	Metrics    prometheus.Registerer
	Tracing    *telemetry.Tracing // nil: off
	Access     *accesslog.Log     // nil: off
}

// API serves S3. Make one with New.
type API struct {
	Config
	Deps
	verifier *sigv4.Verifier[identity.Identity]
	buckets  *cache[meta.Bucket]
	metrics  *metrics
	slots    chan struct{}
	xml      xmlRoom
	hostID   string
}

// New makes the API.
func New(cfg Config, d Deps) (*API, error) {
	host := make([]byte, 24)
	if _, err := d.Random.Read(host); err != nil {
		return nil, errors.Wrap(errors.Internal, err, "drawing the gateway's ID")
	}
	a := &API{
		Config: cfg, Deps: d, hostID: base64.StdEncoding.EncodeToString(host),
		buckets: newCache[meta.Bucket](cfg.CacheTime, d.Clock),
		slots:   make(chan struct{}, cfg.MaxRequests), xml: newXMLRoom(),
	}
	a.metrics = newMetrics(d.Metrics, a.slots)
	telemetry.RegisterCache(d.Metrics, "bucket", a.buckets.counts.Counts)
	a.verifier = sigv4.New(sigv4.Config{Region: cfg.Region, Strict: cfg.Strict}, a.lookup)
	return a, nil
}

// Counters count the requests of all operations.
func (a *API) Counters() *Counters { return &a.metrics.total }

// Handler serves the API over HTTP.
func (a *API) Handler() http.Handler {
	mux := chi.NewRouter()
	mux.HandleFunc("/*", a.serve)
	mux.NotFound(a.serve)         // "*", and what chi has no pattern for
	mux.MethodNotAllowed(a.serve) // methods that chi does not know
	return mux
}

// step bounds one call of a store.
func (a *API) step(r *Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), a.StepTimeout)
}
