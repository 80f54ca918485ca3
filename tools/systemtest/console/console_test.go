package console

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
)

// token is what the operator of a deployment signs in with.
func token(t *testing.T, d *deploy.Deployment) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.Data, "admin.token"))
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

func TestOnlyWhoKnowsTheTokenSignsIn(t *testing.T) {
	d := deploy.ForTest(t)
	b := open(t, d.Admin, 1280)
	b.fill("Password or token", "guessed")
	b.press("Sign in")
	b.shows("this is not the operator's token")
	b.shot("sign-in-refused")
	require.False(t, eval[bool](b, "!!document.querySelector('nav')"))
	b.signIn(token(t, d))
	if deploy.Kind() == deploy.Standalone {
		b.shows("Your data is intact", "live")
	} else {
		b.shows("has 3 good copies", "live")
	}
	require.Empty(t, eval[string](b, "document.cookie"), "scripts do not see the session")
	b.shot("overview")
	b.press("Sign out")
	b.until("nobody is signed in", "document.querySelector('.sign-in')")
	require.EqualValues(t, 401, eval[int](b, "fetch('session').then(r => r.status)"))
}
