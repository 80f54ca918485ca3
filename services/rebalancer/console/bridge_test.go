package console

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

func TestEveryMethodOfTheAdminAPIIsClassified(t *testing.T) {
	names := map[string]bool{}
	for _, m := range adminv1.AdminService_ServiceDesc.Methods {
		names[m.MethodName] = true
		require.NotZero(t, effects[m.MethodName], "say in methods.go whether %s reads or changes something", m.MethodName)
	}
	for name := range effects {
		require.True(t, names[name], "%s is no method any more", name)
	}
	require.Empty(t, adminv1.AdminService_ServiceDesc.Streams, "the bridge has no streams")
}

func TestACallIsHandedOnAndItsErrorToo(t *testing.T) {
	s := serve(t, nil).signIn()
	resp, body := s.ask("POST", "api/GetStatus", "{}", nil)
	require.Equal(t, 200, resp.StatusCode)
	require.Contains(t, body, `"objects":`, "also what is zero is said")
	for method, want := range map[string]struct {
		body string
		code int
		says string
	}{
		"GetBucket":  {`{"name":"none"}`, 404, `"code":"NotFound"`},
		"GetStatus":  {`{"nothing":1}`, 400, `"code":"InvalidArgument"`},
		"ListKeys":   {`{}`, 501, `"code":"Unimplemented"`},
		"NoSuchCall": {`{}`, 404, "no method"},
	} {
		resp, body := s.ask("POST", "api/"+method, want.body, nil)
		require.Equal(t, want.code, resp.StatusCode, method)
		require.Contains(t, body, want.says, method)
	}
	resp, _ = s.ask("POST", "api/GetBucket", `{"name":"elsewhere"}`, nil)
	require.Equal(t, 403, resp.StatusCode, "the session goes on, so the page must not take it for over")
}

func TestACallIsMadeInTheNameOfWhoIsSignedIn(t *testing.T) {
	s := serve(t, nil).signIn()
	resp, _ := s.ask("POST", "api/ImportKey", `{"name":"ann","accessKey":"GK2","secret":"hush hush"}`, nil)
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "hush hush", s.api.imports[0].GetSecret(), "it was handed on whole")
	require.Contains(t, s.api.who, "ImportKey for operator token 127.0.0.1")
}

func TestWhatIsUnaskedChangesNothingUnnoticed(t *testing.T) {
	s := serve(t, nil).signIn()
	unasked := func(r *http.Request) { r.Header.Set(unaskedHeader, "1") }
	s.clock.Advance(sessionIdle - time.Second)
	require.Equal(t, 200, s.code("POST", "api/ImportKey", "{}", unasked))
	s.clock.Advance(sessionIdle - time.Second)
	require.Equal(t, 200, s.code("POST", "api/GetStatus", "{}", unasked), "a change is a use of the session, whoever claims otherwise")
	s.clock.Advance(time.Second)
	require.Equal(t, 401, s.code("POST", "api/GetStatus", "{}", unasked))
}
