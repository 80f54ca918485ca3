package rebalancer

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	"deuxfleurs.fr/garage/services/rebalancer/usage"
)

const (
	// sampleLook is how often it is looked whether a sample is due.
	sampleLook = 10 * time.Second
	// sampleTimeout bounds the making of one.
	sampleTimeout = 5 * time.Minute
)

// sample notes each hour how much there is, while this instance is the active one, until ctx ends.
func (s *Service) sample(ctx context.Context) {
	said := false
	for ctx.Err() == nil {
		if s.decides() && s.usage.Due(s.deps.Clock.Now()) {
			err := s.sampleNow(ctx)
			if err != nil && !said && ctx.Err() == nil {
				s.deps.Logger.Warn("how much buckets hold was not noted; it is tried again until it is", "error", err)
			}
			said = err != nil
		}
		if clock.Sleep(ctx, s.deps.Clock, sampleLook) != nil {
			return
		}
	}
}

// decides reports whether this instance is the active one, for as long that nodes have reported to it.
func (s *Service) decides() bool {
	if s.cluster == nil {
		return true
	}
	t, _ := s.cluster.seat.get()
	return t != nil && s.deps.Clock.Now().Sub(t.began) >= surelyAfter
}

func (s *Service) sampleNow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
	defer cancel()
	one := usage.Sample{Time: s.deps.Clock.Now().UTC(), Buckets: map[uuid.UUID]usage.Held{}}
	after := ""
	for {
		page, err := s.deps.Store.ListBuckets(ctx, meta.ListBuckets{After: after, Limit: maxPage})
		if err != nil {
			return err
		}
		for _, b := range page.Buckets {
			u, err := s.deps.Store.Usage(ctx, b.ID)
			if errors.Is(err, errors.NotFound) { // it was deleted meanwhile
				continue
			}
			if err != nil {
				return err
			}
			one.Buckets[b.ID] = usage.Held{Objects: u.Objects, Bytes: u.Bytes}
			one.All.Objects, one.All.Bytes = one.All.Objects+u.Objects, one.All.Bytes+u.Bytes
			after = b.Name
		}
		if !page.More || len(page.Buckets) == 0 {
			break
		}
	}
	var t *term
	if s.cluster != nil {
		t, _ = s.cluster.seat.get()
	}
	active, nodes, err := s.nodesNow(ctx, t)
	if err == nil && active != nil {
		all, known := int64(0), true
		for _, n := range active.Nodes() {
			said := nodes[n.ID.String()]
			known = known && said.GetAlive()
			one.ChunkBytes, all = one.ChunkBytes+said.GetBytes(), all+said.GetStoredBytes()
		}
		switch {
		case !known:
			one.ChunkBytes = 0
		default:
			one.StoredBytes = all
			if len(active.Placements()) == 1 { // else chunks are twice where they are on their way
				one.SavedBytes = max(0, one.All.Bytes*int64(active.Current().Layout.Replication)-one.ChunkBytes)
			}
		}
	}
	return s.usage.Add(one)
}

// BucketUsageHistory tells how much a bucket, or all together, held over time, as all rebalancers have noted while they were active.
func (s *Service) BucketUsageHistory(ctx context.Context, r *adminv1.BucketUsageHistoryRequest) (*adminv1.BucketUsageHistoryResponse, error) {
	bucket := uuid.Nil
	if r.GetBucket() != "" {
		b, err := s.deps.Store.Bucket(ctx, r.GetBucket())
		if err != nil {
			return nil, err
		}
		bucket = b.ID
	}
	since, until := time.Time{}, s.deps.Clock.Now()
	if r.GetSince() != nil {
		since = r.GetSince().AsTime()
	}
	if r.GetUntil() != nil {
		until = r.GetUntil().AsTime()
	}
	samples, err := s.usage.Samples(ctx, bucket, since, until)
	if err != nil {
		return nil, err
	}
	var points []*adminv1.UsagePoint
	for _, one := range samples {
		p := &adminv1.UsagePoint{Time: timestamppb.New(one.Time), Objects: one.All.Objects, Bytes: one.All.Bytes,
			ChunkBytes: one.ChunkBytes, StoredBytes: one.StoredBytes, SavedBytes: one.SavedBytes}
		if held, there := one.Buckets[bucket]; there {
			p = &adminv1.UsagePoint{Time: p.GetTime(), Objects: held.Objects, Bytes: held.Bytes}
		}
		points = append(points, p)
	}
	problems := everywhere(ctx, s, r, adminv1.AdminServiceClient.BucketUsageHistory, func(_ string, other *adminv1.BucketUsageHistoryResponse) {
		points = append(points, other.GetPoints()...)
	})
	return &adminv1.BucketUsageHistoryResponse{Points: oncePerHour(points), Problems: problems}, nil
}

// oncePerHour puts points in order. Of two in one hour, as when another instance became active, the later stays.
func oncePerHour(points []*adminv1.UsagePoint) []*adminv1.UsagePoint {
	slices.SortStableFunc(points, func(a, b *adminv1.UsagePoint) int { return a.GetTime().AsTime().Compare(b.GetTime().AsTime()) })
	var once []*adminv1.UsagePoint
	for _, p := range points {
		if n := len(once); n > 0 && once[n-1].GetTime().AsTime().Truncate(time.Hour).Equal(p.GetTime().AsTime().Truncate(time.Hour)) {
			once[n-1] = p
			continue
		}
		once = append(once, p)
	}
	return once
}
