package rebalancer

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"deuxfleurs.fr/garage/pkg/clock"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

func TestClocksAreComparedByTheWayThereAndBack(t *testing.T) {
	base := time.Unix(1_700_000_000, 0)
	at := func(seconds float64) time.Time { return base.Add(time.Duration(seconds * float64(time.Second))) }
	for _, c := range []struct {
		sent, received, answered, back float64
		ahead, uncertain               time.Duration
	}{
		{0, 1, 4, 5, 0, time.Second},                  // 1 s each way, the same clock
		{0, 11, 14, 5, 10 * time.Second, time.Second}, // 10 s ahead
		{0, -29, -26, 5, -30 * time.Second, time.Second},
		{0, 0, 0, 4, -2 * time.Second, 2 * time.Second}, // all the way was back: the error says so
		{0, 0, 9, 5, 2 * time.Second, 0},                // a clock that was set meanwhile
	} {
		ahead, uncertain := compareClocks(at(c.sent), at(c.received), at(c.answered), at(c.back))
		require.Equal(t, c.ahead, ahead, "%v", c)
		require.Equal(t, c.uncertain, uncertain, "%v", c)
	}
}

func TestADiagnosisHasEveryPartAndSaysWhichDidNotAnswer(t *testing.T) {
	now := timestamppb.Now()
	own, other := uuid.New(), uuid.New()
	s := &Service{deps: Deps{Clock: clock.System{},
		Diagnosis: func(context.Context, *clusterv1.DiagnoseRequest) (*clusterv1.DiagnoseResponse, error) {
			return &clusterv1.DiagnoseResponse{Service: "standalone", NodeId: own.String(), Received: now, Answered: now}, nil
		},
		Parts: func() []Part {
			return []Part{{Service: "chunk-node", NodeID: other, Address: "192.0.2.1:3901", Machine: "attic", Diagnose: func(context.Context) (*clusterv1.DiagnoseResponse, error) {
				return nil, errors.New("no power")
			}}}
		}}}
	d, err := s.Diagnose(t.Context(), &adminv1.DiagnoseRequest{})
	require.NoError(t, err)
	require.Len(t, d.GetParts(), 2)
	require.Equal(t, "standalone", d.GetParts()[0].GetService())
	require.Equal(t, own.String(), d.GetParts()[0].GetNodeId())
	require.NotNil(t, d.GetParts()[0].GetClock())
	away := d.GetParts()[1]
	require.Equal(t, []string{"chunk-node", other.String(), "attic", "no power"}, []string{away.GetService(), away.GetNodeId(), away.GetMachine(), away.GetProblem()})
	require.Nil(t, away.GetDiagnosis())
}

func TestADiagnosisIsNoChange(t *testing.T) {
	require.False(t, changing("Diagnose", &adminv1.DiagnoseRequest{}))
	require.True(t, changing("ApplyLayout", &adminv1.ApplyLayoutRequest{}))
}
