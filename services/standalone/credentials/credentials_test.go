package credentials

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// keys is a store of keys that can be told to fail.
type keys struct {
	all  map[Key]bool
	fail error
}

// Read makes every key that is drawn the same: twenty letters A and forty.
func (k *keys) Read(b []byte) (int, error) { clear(b); return len(b), nil }

var first = Key{"GK" + strings.Repeat("A", 18), strings.Repeat("A", 40)}

func (k *keys) deps() Deps {
	return Deps{
		HasKeys: func(context.Context) (bool, error) { return len(k.all) > 0, nil },
		Add: func(_ context.Context, key Key) error {
			if k.fail != nil {
				return k.fail
			}
			k.all[key] = true
			return nil
		},
		Random: k,
	}
}

var endpoint = Endpoint{URL: "http://127.0.0.1:3900", Region: "garage"}

const wantFile = `export AWS_ACCESS_KEY_ID=GKAAAAAAAAAAAAAAAAAA
export AWS_SECRET_ACCESS_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
export AWS_ENDPOINT_URL=http://127.0.0.1:3900
export AWS_REGION=garage
export AWS_DEFAULT_REGION=garage
`

func TestTheFirstStartMakesAKeyAndLaterOnesKeepIt(t *testing.T) {
	dir, k := t.TempDir(), &keys{all: map[Key]bool{}}
	made, err := Ensure(context.Background(), dir, endpoint, k.deps())
	require.NoError(t, err)
	require.True(t, made)
	path := filepath.Join(dir, File)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, wantFile, string(content))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	clear(k.all) // the operator deleted the key
	made, err = Ensure(context.Background(), dir, Endpoint{URL: "http://127.0.0.1:9", Region: "x"}, k.deps())
	require.NoError(t, err)
	require.False(t, made)
	require.Empty(t, k.all, "a deleted key does not come back")
	content, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(content), "AWS_ENDPOINT_URL=http://127.0.0.1:9\n")
	require.Contains(t, string(content), "AWS_ACCESS_KEY_ID=GKAAAAAAAAAAAAAAAAAA\n")
}

func TestAnInterruptedFirstStartIsCompletedWithTheSameKey(t *testing.T) {
	dir, k := t.TempDir(), &keys{all: map[Key]bool{}, fail: errors.New("crash")}
	_, err := Ensure(context.Background(), dir, endpoint, k.deps())
	require.ErrorIs(t, err, k.fail)
	k.fail = nil
	k.all[first] = true // it was added, but nobody heard
	made, err := Ensure(context.Background(), dir, endpoint, k.deps())
	require.NoError(t, err)
	require.True(t, made)
	require.Equal(t, map[Key]bool{first: true}, k.all)
	_, err = os.Stat(filepath.Join(dir, pendingFile))
	require.True(t, os.IsNotExist(err))
}

func TestNoKeyIsMadeWhereThereAreKeys(t *testing.T) {
	dir, k := t.TempDir(), &keys{all: map[Key]bool{{"a", "b"}: true}}
	made, err := Ensure(context.Background(), dir, endpoint, k.deps())
	require.NoError(t, err)
	require.False(t, made)
	_, err = os.Stat(filepath.Join(dir, File))
	require.True(t, os.IsNotExist(err))
}

func TestADamagedFileIsSaid(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, File), []byte("nothing"), 0o600))
	_, err := Ensure(context.Background(), dir, endpoint, (&keys{}).deps())
	require.ErrorContains(t, err, "holds no access key")
}

func TestEndpointURL(t *testing.T) {
	require.Equal(t, "http://127.0.0.1:3900", EndpointURL("0.0.0.0:3900", false))
	require.Equal(t, "https://127.0.0.1:3900", EndpointURL("[::]:3900", true))
	require.Equal(t, "http://[::1]:3900", EndpointURL("[::1]:3900", false))
	require.Equal(t, "http://192.0.2.1:80", EndpointURL("192.0.2.1:80", false))
}
