package s3client

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPatientlyRepeatsWhatIsAnswered503AndNothingElse(t *testing.T) {
	for _, c := range []struct {
		statuses []int
		repeated bool
	}{
		{[]int{200}, false},
		{[]int{404}, false},
		{[]int{500}, false},
		{[]int{503, 503, 204}, true},
	} {
		asked := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.statuses[asked])
			asked++
		}))
		resp, repeated, err := New(Endpoint{URL: server.URL}, 1).Patiently(t.Context(), Request{Method: "DELETE", Bucket: "b"})
		server.Close()
		require.NoError(t, err)
		require.Equal(t, c.statuses[len(c.statuses)-1], resp.Status)
		require.Equal(t, c.repeated, repeated)
		require.Equal(t, len(c.statuses), asked)
	}
}

func TestPatientlySendsAStreamOnce(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	resp, repeated, err := New(Endpoint{URL: server.URL}, 1).Patiently(t.Context(), Request{Method: "PUT", Bucket: "b", Key: "k", Stream: http.NoBody})
	require.NoError(t, err)
	require.Equal(t, 503, resp.Status)
	require.False(t, repeated)
	require.Equal(t, 1, asked)
}
