package diagnose

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	gerrors "deuxfleurs.fr/garage/pkg/errors"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

func TestAProgramMeasuresWhatItWasGiven(t *testing.T) {
	node := uuid.New()
	p := New("chunk-node", "v1", node, clock.System{})
	folder := t.TempDir()
	p.AddFolder(folder, filepath.Join(folder, "."), filepath.Join(folder, "missing"))
	p.AddLink(Link{Name: "consul", Check: func(context.Context) error { return nil }})
	p.AddLinks(func() []Link {
		return []Link{{Name: "chunk-node", Peer: "a", Check: func(context.Context) error { return errors.New("refused") }}}
	})
	expires := time.Unix(1_800_000_000, 0)
	p.AddRenewed("consul", func() time.Time { return expires })
	p.AddSetting("consul.acl", func(context.Context) (string, error) { return "deny", nil })
	p.AddSetting("database.commitlog_sync", func(context.Context) (string, error) { return "", errors.New("no such table") })

	d, err := p.Diagnose(t.Context(), &clusterv1.DiagnoseRequest{})
	require.NoError(t, err)
	require.Equal(t, "chunk-node", d.GetService())
	require.Equal(t, node.String(), d.GetNodeId())
	require.Less(t, time.Since(d.GetReceived().AsTime()).Abs(), time.Minute)
	require.False(t, d.GetAnswered().AsTime().Before(d.GetReceived().AsTime()))
	require.Positive(t, d.GetOpenFiles())
	require.GreaterOrEqual(t, d.GetMaxFiles(), d.GetOpenFiles())
	require.Len(t, d.GetFolders(), 2, "two folders of one file system are one")
	good, missing := d.GetFolders()[0], d.GetFolders()[1]
	require.Empty(t, good.GetProblem())
	require.NotEmpty(t, good.GetFileSystem())
	require.Positive(t, good.GetFree())
	require.GreaterOrEqual(t, good.GetSize(), good.GetFree())
	require.Positive(t, good.GetSync().AsDuration())
	require.GreaterOrEqual(t, good.GetSlowestSync().AsDuration(), good.GetSync().AsDuration())
	require.Contains(t, missing.GetProblem(), "no such file")
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left, "measuring leaves nothing")
	require.Equal(t, []string{"", "refused"}, []string{d.GetLinks()[0].GetProblem(), d.GetLinks()[1].GetProblem()})
	require.Equal(t, expires.UTC(), d.GetCertificates()[0].GetExpires().AsTime())
	require.Equal(t, "deny", d.GetSettings()[0].GetValue())
	require.Equal(t, "no such table", d.GetSettings()[1].GetProblem())
}

func TestOneDiagnosisIsMadeAtATimeAndWaitingEnds(t *testing.T) {
	p := New("metadata", "v1", uuid.New(), clock.System{})
	began, end := make(chan struct{}), make(chan struct{})
	p.AddLink(Link{Name: "database", Check: func(context.Context) error { close(began); <-end; return nil }})
	first := make(chan error, 1)
	go func() {
		_, err := p.Diagnose(context.Background(), &clusterv1.DiagnoseRequest{})
		first <- err
	}()
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Diagnose(ctx, &clusterv1.DiagnoseRequest{})
	require.True(t, gerrors.Is(err, gerrors.Canceled), "%v", err)
	close(end)
	require.NoError(t, <-first)
}

func TestADiskThatHangsIsNotWaitedFor(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := &clusterv1.Folder{Path: t.TempDir()}
	measure(ctx, f)
	if f.GetProblem() != "" { // it may have been quicker
		require.Equal(t, "the disk has not answered in time", f.GetProblem())
	}
}
