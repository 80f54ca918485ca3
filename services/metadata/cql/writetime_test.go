package cql

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
)

// ScyllaDB refuses write times more than three days ahead of its clock.
func TestWriteTimesThatScyllaDBTakes(t *testing.T) {
	s := newStore(Config{Clock: clock.System{}, Random: clock.SystemRandom})
	defer s.stop()
	most := time.Now().Add(60 * time.Hour).UnixMicro() // leaves half a day to clocks that differ
	for _, multipart := range []bool{false, true} {
		dropped, isTime := s.drop(&uploadRow{multipart: multipart}).args[0].(int64)
		require.True(t, isTime)
		require.Less(t, dropped, most)
		require.Greater(t, dropped, s.ahead(progressAhead), "the end of an upload is below that of its row, on machines whose clocks differ")
		require.Greater(t, s.ahead(progressAhead), s.deletion())
	}
}
