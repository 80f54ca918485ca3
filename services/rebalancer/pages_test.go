package rebalancer

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/errors"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	"deuxfleurs.fr/garage/services/rebalancer/console"
)

func TestMembersOfTheOperatorsGroupSignIn(t *testing.T) {
	s, _ := served(t, func(d *Deps) { d.Directory = people{} })
	signIn, err := s.signIn("operators")
	require.NoError(t, err)
	ann, err := signIn(t.Context(), "ann", "secret of ann")
	require.NoError(t, err)
	require.Equal(t, console.Operator{Name: "person:ann", Person: "ann"}, ann)
	require.NoError(t, s.still("operators")(t.Context(), ann))
	err = s.still("others")(t.Context(), ann)
	require.True(t, errors.Is(err, errors.PermissionDenied), "%v", err)
	ben, err := signIn(t.Context(), "ben", "secret of ann")
	require.True(t, errors.Is(err, errors.Unauthenticated), "%v", err)
	require.Zero(t, ben)

	none, err := s.signIn("")
	require.NoError(t, err)
	require.Nil(t, none, "without a group nobody signs in by name")
	alone, _ := served(t, nil)
	_, err = alone.signIn("operators")
	require.True(t, errors.Is(err, errors.Invalid), "without LDAP there is no group: %v", err)
}

func TestWhatThePagesNoteIsCutWhereItIsLong(t *testing.T) {
	s, c := served(t, nil)
	long := strings.Repeat("é", maxArguments)
	require.NoError(t, noted{s}.Record(t.Context(), console.Entry{At: time.Now(), Operator: long, From: long, Action: long, Request: long, Problem: long}))
	all := audited(t, c)
	require.Len(t, all, 1)
	a := all[0].GetAudit()
	for _, text := range []string{a.GetActor(), a.GetFrom(), a.GetMethod(), a.GetArguments(), a.GetError(), all[0].GetSubject()} {
		require.Equal(t, long[:maxArguments]+"…", text)
	}
	require.Less(t, len(all[0].GetText()), 4*maxArguments)
}

// asRoot knows one token.
type asRoot struct{}

func (asRoot) Knows(token string) bool { return token == "the token" }

// browse sends requests of the console's pages to a service, signed in.
func browse(t *testing.T, pages http.Handler) func(method, path string) (int, string) {
	t.Helper()
	server := httptest.NewServer(pages)
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client, session := &http.Client{Jar: jar}, ""
	do := func(method, path string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+console.Path+path, http.NoBody)
		require.NoError(t, err)
		r.Header.Set("X-Garage-Console", session)
		answer, err := client.Do(r)
		require.NoError(t, err)
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(text)
	}
	answer, err := client.PostForm(server.URL+console.Path+"sign-in", url.Values{"password": {"the token"}})
	require.NoError(t, err)
	defer answer.Body.Close()
	var said struct{ Token string }
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&said))
	session = said.Token
	return do
}

func TestToBrowseObjectsIsNotNotedAndToChangeThemIs(t *testing.T) {
	s, c := served(t, nil)
	made, err := c.CreateKey(t.Context(), &adminv1.CreateKeyRequest{Name: "laptop"})
	require.NoError(t, err)
	key := made.GetKey().GetAccessKey()
	signed := ""
	s3 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		signed = r.Header.Get("Authorization")
		_, _ = io.WriteString(w, "<ListBucketResult></ListBucketResult>")
	}))
	defer s3.Close()
	pages, err := s.Console(console.DefaultConfig(), asRoot{}, func(context.Context) (*url.URL, error) { return url.Parse(s3.URL) })
	require.NoError(t, err)
	ask := browse(t, pages)
	before := audited(t, c)
	require.Len(t, before, 2, "a key was made, and somebody signed in")
	for range 3 {
		code, body := ask("GET", "objects?bucket=photos&key="+key)
		require.Equal(t, 200, code, body)
		require.Contains(t, signed, "Credential="+key+"/")
	}
	require.Len(t, audited(t, c), len(before))
	code, body := ask("DELETE", "object?bucket=photos&object=o&version=v&key="+key)
	require.Equal(t, 200, code, body)
	all := audited(t, c)
	require.Len(t, all, len(before)+1)
	a := all[len(before)].GetAudit()
	require.Equal(t, "operator token DeleteObject", a.GetActor()+" "+a.GetMethod())
	require.JSONEq(t, `{"key":"`+key+`","bucket":"photos","object":"o","version":"v"}`, a.GetArguments())
	code, body = ask("GET", "objects?bucket=photos&key=unknown")
	require.Equal(t, 404, code, body)
}

func TestAGatewayIsSpokenToAsItServes(t *testing.T) {
	plain, secure, ill := consul.Instance{Address: "10.0.0.1:3900", Healthy: true}, consul.Instance{Address: "10.0.0.2:3900", TLS: true, Healthy: true}, consul.Instance{Address: "10.0.0.3:3900"}
	for want, all := range map[string][]consul.Instance{"http://10.0.0.1:3900": {ill, plain, secure}, "https://10.0.0.2:3900": {ill, secure, plain}} {
		u, err := gatewayOf(all)
		require.NoError(t, err)
		require.Equal(t, want, u.String())
	}
	_, err := gatewayOf([]consul.Instance{ill})
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
}
