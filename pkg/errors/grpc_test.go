package errors

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestErrorsSurviveTheWire(t *testing.T) {
	for kind := Kind(0); kind < numKinds; kind++ {
		sent := Annotate(E(kind, Bucket, "photos", "it broke"), "doing a thing")
		got := FromStatus(ToStatus(sent))
		require.Equal(t, kind, KindOf(got))
		require.Equal(t, Bucket, EntityOf(got))
		require.Equal(t, sent.Error(), got.Error())
	}
	got := FromStatus(ToStatus(E(NotFound, Object, "caf\xe9", "no such object")))
	require.True(t, IsEntity(got, NotFound, Object), "a name that is not UTF-8 does not cost the kind: %v", got)
	require.True(t, Answered(Annotate(got, "asking")))
	require.False(t, Answered(FromStatus(status.Error(codes.Unavailable, "connection refused"))))
	require.NoError(t, ToStatus(nil))
	require.NoError(t, FromStatus(nil))
}

func TestContextErrorsHaveKinds(t *testing.T) {
	require.Equal(t, Deadline, KindOf(FromStatus(ToStatus(context.DeadlineExceeded))))
	require.Equal(t, Canceled, KindOf(FromStatus(status.FromContextError(context.Canceled).Err())))
	require.Equal(t, Unavailable, KindOf(FromStatus(status.Error(codes.Unavailable, "connection refused"))))
}
