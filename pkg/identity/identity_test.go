package identity_test

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/identity"
)

func TestGranteesAreToldApart(t *testing.T) {
	name, ok := identity.PersonOf(identity.Person("group:ann"))
	require.True(t, ok)
	require.Equal(t, "group:ann", name)
	_, ok = identity.GroupOf(identity.Person("group:ann"))
	require.False(t, ok)
	for grantee, want := range map[string]bool{"GK1": true, "Person:ann": true, "person": true, identity.Person("ann"): false, identity.Group(""): false} {
		require.Equal(t, want, identity.IsAccessKey(grantee), grantee)
	}
}

func TestNoSecretIsInALog(t *testing.T) {
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("who", "identity", identity.Identity{AccessKey: "ANN", Secret: "very secret"})
	require.Contains(t, log.String(), "ANN")
	require.NotContains(t, log.String(), "very secret")
}
