package console

import (
	"context"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/stall"
)

const (
	cookieName = "garage-console"
	// tokenHeader carries the token of the session in what is not a GET.
	tokenHeader = "X-Garage-Console"
	// unaskedHeader marks what a page asks by itself, and no operator: it does not prolong the session.
	unaskedHeader = "X-Garage-Console-Unasked"
	maxForm       = 16 << 10
	maxName       = 256 // bytes of a person's name
	// signInTimeout is how long it may take to find out who a person is.
	signInTimeout = 15 * time.Second
	// tokenUser is what the audit log calls who has signed in by the operator's token.
	tokenUser = "operator token"
)

// signedIn answers only who has a session, still is an operator and, to change something, has its token.
func (c *Console) signedIn(h func(http.ResponseWriter, *http.Request, *session)) http.HandlerFunc {
	return c.inSession(func(w http.ResponseWriter, r *http.Request, s *session) {
		if err := c.still(r, s); err != nil {
			fail(w, err)
			return
		}
		h(w, r, s)
	})
}

// still refuses who is no operator any more, and ends their session. Kinds: Unauthenticated; Unavailable if nobody knows.
func (c *Console) still(r *http.Request, s *session) error {
	if s.operator.Person == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), signInTimeout)
	defer cancel()
	err := c.deps.Still(ctx, s.operator)
	if !errors.Is(err, errors.PermissionDenied) {
		return err
	}
	if c.sessions.end(sessionID(r)) {
		c.record(ctx, Entry{Operator: s.operator.Name, From: remote(r), Action: "SignOut"}, err)
	}
	return errors.Wrap(errors.Unauthenticated, err, "the session is over")
}

// inSession answers only who has a session and, to change something, its token.
func (c *Console) inSession(h func(http.ResponseWriter, *http.Request, *session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		used := r.URL.Path != Path+"events" && (r.Header.Get(unaskedHeader) == "" || effects[r.PathValue("method")] == changes)
		s := c.sessions.find(sessionID(r), used)
		switch {
		case s == nil:
			fail(w, errors.Newf(errors.Unauthenticated, "sign in first: there is no session, or it is over"))
		case r.Method != http.MethodGet && r.Method != http.MethodHead && !same(r.Header.Get(tokenHeader), s.token):
			fail(w, errors.Newf(errors.PermissionDenied, "the request lacks the session's token: load the page again"))
		default:
			defer stall.Body(w, r, c.idle)()
			h(w, r, s)
		}
	}
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// sessionID is what the browser shows, or empty.
func sessionID(r *http.Request) string {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// remote is the address that a request comes from.
func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func (c *Console) signIn(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		fail(w, errors.Wrap(errors.Invalid, err, "the form cannot be read"))
		return
	}
	user, from := strings.TrimSpace(r.PostForm.Get("user")), remote(r)
	if !isName(user) {
		fail(w, errors.Newf(errors.Invalid, "this is no name of a person"))
		return
	}
	password := r.PostForm.Get("password")
	known := user == "" && c.deps.Admin.Knows(password)
	// Others cannot lock out who has the token.
	if !known && !c.attempts.admit(from) {
		fail(w, errors.Newf(errors.Overloaded, "too many attempts from this address: wait a minute, and try again"))
		return
	}
	stall.LimitBody(w, r, signInTimeout+bodyTimeout) // its end would end the request
	operator, err := c.operator(r, user, password, known)
	entry := Entry{Operator: operator.Name, From: from, Action: "SignIn"}
	if err != nil {
		entry.Operator = user
		if user == "" {
			entry.Operator = tokenUser
		}
		if c.refused.note() {
			c.record(r.Context(), entry, err)
		}
		fail(w, err)
		return
	}
	if known {
		c.attempts.forget(from)
	}
	c.sessions.end(sessionID(r)) // a new session is never one that the browser had before
	id, s, err := c.sessions.begin(operator)
	c.record(r.Context(), entry, err)
	if err != nil {
		fail(w, err)
		return
	}
	http.SetCookie(w, cookie(r, id, int(sessionLife.Seconds())))
	c.session(w, r, s)
}

// isName reports whether a person may have that name, which the audit log has to keep; empty is who shows the token.
func isName(user string) bool {
	return len(user) <= maxName && utf8.ValidString(user) && !strings.ContainsFunc(user, func(r rune) bool { return !unicode.IsPrint(r) })
}

// operator finds out who signs in: a person or, without a user's name, who knows the token.
func (c *Console) operator(r *http.Request, user, password string, known bool) (Operator, error) {
	switch {
	case known:
		return Operator{Name: tokenUser}, nil
	case user == "":
		return Operator{}, errors.Newf(errors.Unauthenticated, "this is not the operator's token; it is in the file admin.token of the server's data folder")
	case c.deps.SignIn == nil:
		return Operator{}, errors.Newf(errors.Unauthenticated, "people cannot sign in here: leave the name empty, and give the operator's token")
	}
	ctx, cancel := context.WithTimeout(r.Context(), signInTimeout)
	defer cancel()
	return c.deps.SignIn(ctx, user, password)
}

// cookie keeps the session's ID in the browser; it ends there after maxAge seconds, at once if that is below 0.
func cookie(r *http.Request, id string, maxAge int) *http.Cookie {
	// A proxy that ends TLS says so; who invents that only hinders their own browser.
	secure := r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
	return &http.Cookie{Name: cookieName, Value: id, Path: Path, MaxAge: maxAge, HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode}
}

func (c *Console) signOut(w http.ResponseWriter, r *http.Request, s *session) {
	c.sessions.end(sessionID(r))
	http.SetCookie(w, cookie(r, "", -1))
	c.record(r.Context(), Entry{Operator: s.operator.Name, From: remote(r), Action: "SignOut"}, nil)
	w.WriteHeader(http.StatusNoContent)
}

// session says who is signed in, and what a page needs to know.
func (c *Console) session(w http.ResponseWriter, _ *http.Request, s *session) {
	answer(w, map[string]any{"operator": s.operator.Name, "token": s.token, "partSize": int64(c.config.PartSize)})
}
