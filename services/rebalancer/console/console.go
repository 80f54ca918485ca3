package console

import (
	"context"
	"crypto/tls"
	"embed"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"google.golang.org/grpc"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/config"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/stall"
	"deuxfleurs.fr/garage/pkg/tlsfiles"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// Path is where the console is served.
const Path = "/console/"

//go:embed static
var static embed.FS

// Config is the console's settings.
type Config struct {
	S3Endpoint    string `conf:"s3-endpoint" help:"URL of the S3 server through which objects are browsed; default: that of this process, or a healthy gateway that Consul knows"`
	S3Region      string `conf:"s3-region" help:"region that requests to it are signed for"`
	Operators     string `conf:"operators" help:"LDAP group whose members may sign in with their password and do everything; empty: only the operator's token opens the console"`
	ShareEndpoint string `conf:"share-endpoint" help:"URL of S3 as those see it who are given a link to an object; default: the one through which objects are browsed"`
	S3CA          string `conf:"s3-ca" help:"PEM file of the authorities that the S3 server is known by, where it speaks TLS; default: those of the system"`
	S3Name        string `conf:"s3-name" help:"name that the certificate of the S3 server must have, such as s3.example.org; default: the host or address at which it is asked"`
	// PartSize times the number of parts that S3 takes is less than the largest object: pages use larger ones where they must.
	PartSize config.Size `conf:"part-size" help:"pages send files larger than this in parts of it; what breaks off is repeated from the beginning of the part" min:"5MiB" max:"5GiB"`
}

// DefaultConfig is what suits most.
func DefaultConfig() Config { return Config{S3Region: "garage", PartSize: 64 << 20} }

// Validate refuses what is no URL of a server.
func (c Config) Validate() error {
	for name, value := range map[string]string{"s3-endpoint": c.S3Endpoint, "share-endpoint": c.ShareEndpoint} {
		if value == "" {
			continue
		}
		if _, err := endpoint(value); err != nil {
			return errors.E(errors.Invalid, errors.Setting, "console."+name, "%v", err)
		}
	}
	return nil
}

// endpoint reads the URL of a server.
func endpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" {
		return nil, errors.Newf(errors.Invalid, "%q is not the URL of a server, such as https://s3.example.org", text)
	}
	u.Path = ""
	return u, nil
}

// Operator is who is signed in.
type Operator struct {
	// Name is what the audit log calls them, and Person what LDAP does; empty: who has the token.
	Name, Person string
}

// Admin is the administration server, as far as the console needs it.
type Admin interface {
	// Knows reports whether that is the operator's token.
	Knows(token string) bool
}

// Deps are what the console works with.
type Deps struct {
	// API answers the admin API, and notes by itself what changes something. As makes the context of a call in the name of somebody,
	// who asks from an address.
	API   grpc.ClientConnInterface
	As    func(ctx context.Context, name, from string) context.Context
	Admin Admin
	// SignIn finds out who a person is and whether they are an operator; nil: there is only the token. Kinds: Unauthenticated,
	// PermissionDenied, Unavailable.
	SignIn func(ctx context.Context, user, password string) (Operator, error)
	// Still finds out whether a person who has signed in still is an operator. It is asked whenever they do something, and keeps what it
	// finds out as long as that may be old. Kinds: PermissionDenied if not, which ends their session; Unavailable if nobody knows.
	Still func(ctx context.Context, o Operator) error
	// S3 is where objects are browsed if the setting does not say; nil: nowhere.
	S3 func(ctx context.Context) (*url.URL, error)
	// Credentials are those that requests to S3 are signed with, by an access key or the name of one. That they are asked for is noted
	// nowhere: what is done with them is. Kinds: NotFound, Conflict if several keys have the name.
	Credentials func(ctx context.Context, key string) (accessKey, secret string, err error)
	// Audit keeps what operators do beside the admin API: to objects, and to sign in and out.
	Audit  Audit
	Clock  clock.Clock
	Random clock.Random
	Logger *slog.Logger
}

// Console answers below [Path], and is a service: while it does not run, nobody can follow the status.
type Console struct {
	config      Config
	deps        Deps
	api         adminv1.AdminServiceClient
	sessions    *sessions
	attempts    *attempts
	refused     refused
	feed        *feed
	s3          *http.Client
	mux         *http.ServeMux
	patience    time.Duration                  // with the body of a request without a session
	idle        time.Duration                  // in which something of a body or an answer must move
	callTimeout time.Duration                  // for all of a call
	stopped     chan struct{}                  // closed when Run ends
	seen        *adminv1.GetPartitionsResponse // by the feed's loop; nil: not known
}

// New makes a console. Kinds: Invalid.
func New(c Config, d Deps) (*Console, error) {
	if d.API == nil || d.As == nil || d.Admin == nil || d.Credentials == nil || d.Audit == nil || d.Clock == nil || d.Random == nil || d.Logger == nil {
		return nil, errors.Newf(errors.Invalid, "the console needs the admin API, the administration server, credentials, an audit log, a clock, a source of randomness and a logger")
	}
	if d.SignIn != nil && d.Still == nil {
		return nil, errors.Newf(errors.Invalid, "a console where people sign in needs to know whether they still are operators")
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	authorities, err := tlsfiles.Authorities(c.S3CA)
	if err != nil {
		return nil, errors.Wrap(errors.Invalid, err, "setting console.s3-ca")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression, transport.Proxy = true, nil
	transport.TLSClientConfig = &tls.Config{RootCAs: authorities, ServerName: c.S3Name, MinVersion: tls.VersionTLS12}
	console := &Console{config: c, deps: d, api: adminv1.NewAdminServiceClient(d.API), sessions: newSessions(d.Clock, d.Random), attempts: newAttempts(d.Clock),
		mux: http.NewServeMux(), patience: bodyTimeout, idle: idleTimeout, callTimeout: callTimeout, stopped: make(chan struct{}),
		s3: &http.Client{Transport: &stall.Transport{Next: transport, Idle: idleTimeout, Patience: s3Patience}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	console.feed = newFeed(console.look, d.Clock)
	files, err := fs.Sub(static, "static")
	if err != nil {
		return nil, errors.Wrap(errors.Internal, err, "the pages of the console")
	}
	console.route(http.StripPrefix(Path, http.FileServerFS(files)))
	return console, nil
}

func (c *Console) route(pages http.Handler) {
	c.mux.Handle("GET /{$}", http.RedirectHandler(Path, http.StatusSeeOther))
	c.mux.Handle("GET "+Path, pages)
	c.mux.HandleFunc("POST "+Path+"sign-in", c.signIn)
	c.mux.HandleFunc("POST "+Path+"sign-out", c.inSession(c.signOut)) // also who is no operator any more
	c.mux.HandleFunc("GET "+Path+"session", c.signedIn(c.session))
	c.mux.HandleFunc("POST "+Path+"api/{method}", c.signedIn(c.call))
	c.mux.HandleFunc("GET "+Path+"events", c.signedIn(c.events))
	c.mux.HandleFunc("GET "+Path+"objects", c.signedIn(c.listObjects))
	c.mux.HandleFunc("GET "+Path+"object", c.signedIn(c.download))
	c.mux.HandleFunc("PUT "+Path+"object", c.signedIn(c.upload))
	c.mux.HandleFunc("DELETE "+Path+"object", c.signedIn(c.remove))
	c.mux.HandleFunc("POST "+Path+"link", c.signedIn(c.link))
	c.mux.HandleFunc("POST "+Path+"upload", c.signedIn(c.beginUpload))
	c.mux.HandleFunc("PUT "+Path+"upload", c.signedIn(c.uploadPart))
	c.mux.HandleFunc("DELETE "+Path+"upload", c.signedIn(c.abortUpload))
	c.mux.HandleFunc("POST "+Path+"upload/complete", c.signedIn(c.completeUpload))
}

// ServeHTTP answers what is asked below [Path].
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	stall.LimitBody(w, r, c.patience) // until it is known who asks
	w = stall.Answer(w, c.idle)
	protect(w.Header())
	// Browsers say from where a request comes; others cannot be led to send one.
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		fail(w, errors.Wrap(errors.PermissionDenied, err, "the request comes from a page of another site"))
		return
	}
	c.mux.ServeHTTP(w, r)
}

// Register adds the console to an administration server, whose front page leads to it.
func (c *Console) Register(handle func(pattern string, h http.Handler)) {
	handle(Path, c)
	handle("GET /{$}", c)
}

// inItsName is the context of what is asked for by who has that session.
func (c *Console) inItsName(r *http.Request, s *session) context.Context {
	return c.deps.As(r.Context(), s.operator.Name, remote(r))
}

// Run looks after those who follow the status, and tells how often signing in was refused, until ctx ends.
func (c *Console) Run(ctx context.Context) error {
	defer c.s3.CloseIdleConnections()
	defer close(c.stopped)
	var work sync.WaitGroup
	work.Go(func() { c.tellRefused(ctx) })
	c.feed.run(ctx)
	work.Wait()
	return nil
}

// protect sets the headers that keep a browser from doing with an answer what it is not for.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	// The pages come with the program: a browser asks each time whether they are the same.
	h.Set("Cache-Control", "no-cache")
}

const (
	// bodyTimeout is how long the body of a request may take from who has no session. idleTimeout is how long nothing may come of one
	// from who has, and nothing be taken of an answer; and the same of S3.
	bodyTimeout = 10 * time.Second
	idleTimeout = time.Minute
	// callTimeout is for all of a call of the admin API, or of S3 but for bodies of objects; s3Patience is how long S3 may take to answer those.
	callTimeout = time.Minute
	s3Patience  = time.Minute
	// ownName is in whose name the console asks by itself, which changes nothing.
	ownName = "console"
)
