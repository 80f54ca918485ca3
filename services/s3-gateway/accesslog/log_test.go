package accesslog

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/telemetry/telemetrytest"
)

var quiet = slog.New(slog.DiscardHandler)

func TestWhatIsSecretInAQueryIsNotWritten(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                       "",
		"list-type=2&prefix=a%20b":               "list-type=2&prefix=a%20b",
		"X-Amz-Signature=abc&X-Amz-Expires=60":   "X-Amz-Signature=REDACTED&X-Amz-Expires=60",
		"x-amz-SIGNATURE=abc":                    "x-amz-SIGNATURE=REDACTED",
		"X-Amz-%53ignature=abc&acl":              "X-Amz-%53ignature=REDACTED&acl",
		"Signature=abc&Expires=1":                "Signature=REDACTED&Expires=1",
		"X-Amz-Security-Token=a=b&uploadId=x":    "X-Amz-Security-Token=REDACTED&uploadId=x",
		"X-Amz-%ZZignature=abc":                  "REDACTED",
		"X-Amz-Signature":                        "X-Amz-Signature=REDACTED",
		"+X-Amz-Signature+=abc&X-Amz-Credential": "+X-Amz-Signature+=REDACTED&X-Amz-Credential",
	} {
		require.Equal(t, want, Query(raw), raw)
	}
}

func TestLinesAreWrittenInTheirOrderUntilTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	l, err := Open(path, nil)
	require.NoError(t, err)
	for i := range 100 {
		l.Write(Entry{Operation: "GetObject", Status: 200 + i, Key: "a<b>&\n\"c"})
	}
	ctx, cancel := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() { l.Follow(ctx, quiet) })
	cancel()
	following.Wait()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	require.Len(t, lines, 100)
	for i, line := range lines {
		var e Entry
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		require.Equal(t, 200+i, e.Status)
		require.Equal(t, "a<b>&\n\"c", e.Key)
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o007, "who asked for what is not for everybody")
}

func TestARequestDoesNotWaitForAFullQueue(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	l, err := Open(filepath.Join(t.TempDir(), "access.log"), r)
	require.NoError(t, err)
	for range queue + 3 {
		l.Write(Entry{})
	}
	require.Equal(t, 3.0, telemetrytest.Values(t, r)["garage_s3_access_log_dropped_total"])
}

func TestALogThatCannotBeWrittenIsRefused(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "none", "access.log"), nil)
	require.True(t, errors.Is(err, errors.Invalid))
	require.ErrorContains(t, err, "s3.access-log")
	l, err := Open(Off, nil)
	require.NoError(t, err)
	require.Nil(t, l)
	l.Write(Entry{})
	l.Follow(t.Context(), quiet)
}
