package rebalancer

import (
	"context"
	"fmt"
	"strconv"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/layout/kv"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// StageLayout stages what makes the nodes and the number of copies those of an earlier layout.
func (s *Service) StageLayout(ctx context.Context, r *adminv1.StageLayoutRequest) (*adminv1.StageLayoutResponse, error) {
	return decided(ctx, s, r, adminv1.AdminServiceClient.StageLayout, s.stageLayout)
}

func (s *Service) stageLayout(ctx context.Context, t *term, r *adminv1.StageLayoutRequest) (*adminv1.StageLayoutResponse, error) {
	staged, err := s.change(ctx, t, func(seen kv.Snapshot, _ []*nodeView) (layout.Change, error) {
		current := seen.Layout()
		number := strconv.FormatUint(r.GetNumber(), 10)
		if r.GetNumber() == 0 || r.GetNumber() > current.Number {
			return layout.Change{}, errors.E(errors.NotFound, errors.Layout, number, "there was no such layout; the current one is %d", current.Number)
		}
		earlier, err := s.cluster.store.Get(ctx, r.GetNumber())
		if err != nil {
			return layout.Change{}, errors.Annotate(err, "reading layout %s", number)
		}
		back, err := layout.Between(current, earlier.Layout)
		if err == nil && back.Empty() && seen.Staged.Empty() {
			err = errors.E(errors.PreconditionFailed, errors.Layout, number, "it has the same nodes and as many copies as the current one: there is nothing to stage")
		}
		return back, err
	})
	if err != nil {
		return nil, err
	}
	s.noteLayout(fmt.Sprintf("what is staged goes back to layout %d", r.GetNumber()))
	return &adminv1.StageLayoutResponse{Staged: changeMessage(staged)}, nil
}
