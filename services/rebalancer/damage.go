package rebalancer

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// ListDamaged names chunks of which a node lacks a good copy, in the order of their hashes, and what refers to them.
func (s *Service) ListDamaged(ctx context.Context, r *adminv1.ListDamagedRequest) (*adminv1.ListDamagedResponse, error) {
	return commanded(ctx, s, r, adminv1.AdminServiceClient.ListDamaged, s.listDamaged)
}

func (s *Service) listDamaged(ctx context.Context, t *term, r *adminv1.ListDamagedRequest) (*adminv1.ListDamagedResponse, error) {
	var after chunk.Hash
	var err error
	if text := r.GetAfter(); text != "" {
		if after, err = chunk.ParseHash(text); err != nil {
			return nil, err
		}
	}
	limit := pageSize(r.GetLimit())
	nodes, err := s.named(ctx, t, nil)
	if err != nil {
		return nil, err
	}
	answer := &adminv1.ListDamagedResponse{}
	found := damages{}
	var mu sync.Mutex
	s.askEach(ctx, nodes, func(ctx context.Context, i int, node Node, err error) {
		var list []chunk.Damage
		if err == nil {
			list, err = node.Damaged(ctx, after, limit)
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			answer.Problems = append(answer.Problems, fmt.Sprintf("node %v: %v", nodes[i].id, err))
			return
		}
		answer.More = answer.More || len(list) == limit
		found.add(nodes[i].id, list)
	})
	slices.Sort(answer.Problems)
	// The first hashes of all lists together are complete, because each list has as many.
	chunks := found.sorted()
	if len(chunks) > limit {
		chunks, answer.More = chunks[:limit], true
	}
	objects, err := s.behind(ctx, chunks)
	if err != nil {
		return nil, err
	}
	for _, c := range chunks {
		answer.Chunks = append(answer.Chunks, c.message(objects))
	}
	return answer, nil
}

// damaged is a chunk as all nodes together tell of it.
type damaged struct {
	chunk.Damage // that of the node that has known it longest, with the references of all
	nodes        []chunk.NodeID
	lost         bool // one of them has asked all nodes in vain
}

type damages map[chunk.Hash]*damaged

func (d damages) add(node chunk.NodeID, list []chunk.Damage) {
	for _, one := range list {
		all := d[one.Hash]
		if all == nil {
			all = &damaged{Damage: one}
			all.Refs = nil
			d[one.Hash] = all
		}
		all.nodes = append(all.nodes, node)
		if one.Since.Before(all.Since) {
			all.Since = one.Since
		}
		if strings.HasPrefix(one.Problem, chunk.NoGoodCopy) {
			all.lost, all.Problem = true, one.Problem
		}
		for _, r := range one.Refs {
			if !slices.Contains(all.Refs, r) {
				all.Refs = append(all.Refs, r)
			}
		}
	}
}

func (d damages) sorted() []*damaged {
	all := make([]*damaged, 0, len(d))
	for _, one := range d {
		slices.SortFunc(one.nodes, func(a, b chunk.NodeID) int { return bytes.Compare(a[:], b[:]) })
		slices.SortFunc(one.Refs, func(a, b chunk.Ref) int { return strings.Compare(a.String(), b.String()) })
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b *damaged) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
	return all
}

// behind asks the metadata what the attempts that refer to chunks belong to.
func (s *Service) behind(ctx context.Context, chunks []*damaged) (map[uuid.UUID]meta.Attempt, error) {
	known := map[uuid.UUID]meta.Attempt{}
	var ids []uuid.UUID
	for _, c := range chunks {
		for _, r := range c.Refs {
			if _, asked := known[r.Attempt]; !asked {
				known[r.Attempt] = meta.Attempt{ID: r.Attempt}
				ids = append(ids, r.Attempt)
			}
		}
	}
	for some := range slices.Chunk(ids, meta.MaxAttempts) {
		attempts, err := s.deps.Store.Attempts(ctx, meta.FindAttempts{IDs: some})
		if err != nil {
			return nil, errors.Annotate(err, "asking what damaged chunks belong to")
		}
		for _, a := range attempts {
			known[a.ID] = a
		}
	}
	return known, nil
}

func (d *damaged) message(objects map[uuid.UUID]meta.Attempt) *adminv1.DamagedChunk {
	m := &adminv1.DamagedChunk{Hash: d.Hash.String(), Since: timestamppb.New(d.Since), Lost: d.lost, Problem: d.Problem}
	for _, n := range d.nodes {
		m.Nodes = append(m.Nodes, n.String())
	}
	for _, r := range d.Refs {
		a := objects[r.Attempt]
		o := &adminv1.DamagedObject{Attempt: r.Attempt.String(), Offset: r.Offset, Bucket: a.BucketName, Key: a.Key}
		switch a.State {
		case meta.AttemptComplete:
			o.State, o.Version = "complete", a.Version.ID.String()
		case meta.AttemptOpen:
			o.State, o.Upload = "open", a.Upload.String()
		case meta.AttemptGarbage:
			o.State = "garbage"
		default:
			o.State = "unknown"
		}
		m.Objects = append(m.Objects, o)
	}
	return m
}
