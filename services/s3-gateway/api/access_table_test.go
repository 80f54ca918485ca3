package api

import (
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/access"
	"deuxfleurs.fr/garage/pkg/identity"
)

func TestWhatOperationsNeedIsWhatIsExplained(t *testing.T) {
	there := map[string]bool{}
	for _, op := range operations {
		there[op.name] = true
		want := access.Need{Rights: op.need.rights, Any: op.need.any}
		if op.need.form { // it asks by itself
			want.Rights = identity.Write
		}
		explained, known := access.Operations[op.name]
		require.True(t, known, "add %s to access.Operations", op.name)
		require.Equal(t, want, explained, op.name)
	}
	for name := range access.Operations {
		require.True(t, there[name], "there is no operation %s", name)
	}
}
