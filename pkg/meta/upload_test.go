package meta

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
)

func TestTheOrderOfUploadIDsIsTheOrderOfBegin(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var last uuid.UUID
	for range 100 {
		id, err := NewUploadID(now, clock.SystemRandom)
		require.NoError(t, err)
		require.Equal(t, uuid.Version(7), id.Version())
		require.Equal(t, uuid.RFC4122, id.Variant())
		require.Negative(t, bytes.Compare(last[:], id[:]))
		sec, nsec := id.Time().UnixTime()
		require.Equal(t, now, time.Unix(sec, nsec).UTC())
		last, now = id, now.Add(time.Millisecond)
	}
	_, err := NewUploadID(now, bytes.NewReader(nil))
	require.Error(t, err)
}

func TestGrantsAreCopiedNotChanged(t *testing.T) {
	b := Bucket{Grants: []Grant{{"a", 1}, {"b", 2}}}
	require.Equal(t, []Grant{{"a", 1}, {"b", 4}}, b.Granted(Grant{"b", 4}))
	require.Equal(t, []Grant{{"b", 2}}, b.Granted(Grant{"a", 0}))
	require.Equal(t, []Grant{{"a", 1}, {"b", 2}, {"c", 3}}, b.Granted(Grant{"c", 3}))
	require.Equal(t, []Grant{{"a", 1}, {"b", 2}}, b.Grants)
	require.Zero(t, b.Rights("c"))
	require.Zero(t, b.Rights())
	require.EqualValues(t, 3, b.Rights("c", "b", "a"))
}
