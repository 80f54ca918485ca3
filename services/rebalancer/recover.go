package rebalancer

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/layout/kv"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

const (
	// recoverEvery is how often the active one compares what nodes have adopted with what Consul has.
	recoverEvery = 5 * time.Second
	// recoverTimeout bounds putting layouts back.
	recoverTimeout = 30 * time.Second
	// asked is how many nodes are asked for the layouts that they have adopted.
	asked = 5
	// reportedBy is how old a term is when the nodes that can have reported.
	reportedBy = freshFor
)

// recoverLayouts puts layouts back that nodes have adopted and Consul has lost, until ctx ends.
func (s *Service) recoverLayouts(ctx context.Context, t *term) {
	said := ""
	for clock.Sleep(ctx, s.deps.Clock, recoverEvery) == nil {
		problem := ""
		if err := s.putBack(ctx, t); err != nil {
			problem = err.Error()
		}
		t.recovering.Lock()
		t.recovery = problem
		t.recovering.Unlock()
		if problem != "" && problem != said && ctx.Err() == nil {
			s.deps.Logger.Warn("layouts that Consul may have lost are not put back; it is tried again", "error", problem)
		}
		said = problem
	}
}

// highest is the number of the newest layout that a node of this term has adopted; 0: none has, or nothing is known of that.
func (t *term) highest() uint64 {
	if t == nil {
		return 0
	}
	return t.roster.highest()
}

// forgotten says that nodes have adopted layouts that Consul, whose current one is number, does not have; empty: they have not.
func (t *term) forgotten(number uint64) string {
	highest := t.highest()
	if highest <= number {
		return ""
	}
	t.recovering.Lock()
	defer t.recovering.Unlock()
	has := "none"
	if number > 0 {
		has = fmt.Sprintf("layout %d", number)
	}
	text := fmt.Sprintf("chunk-nodes have adopted layout %d and Consul has %s, so it has lost data; the layouts of the nodes are put back within a minute", highest, has)
	if t.recovery != "" {
		text += ", which is tried again: " + t.recovery
	}
	return text
}

// follows reports whether the next layout may follow what was seen in Consul, so that no number is given twice. Kinds: PreconditionFailed.
func (t *term) follows(seen kv.Snapshot, now time.Time) error {
	if forgotten := t.forgotten(seen.Layout().Number); forgotten != "" {
		return errors.E(errors.PreconditionFailed, errors.Layout, "", "%s: look at garage layout show, and try again then", forgotten)
	}
	if now.Sub(t.began) >= reportedBy {
		return nil
	}
	// Consul may have lost everything, or what came after a backup.
	nodes := slices.Clone(seen.Staged.Assign)
	if seen.Active != nil {
		nodes = append(nodes, seen.Active.Nodes()...)
	}
	reports := t.roster.all(now)
	for _, n := range nodes {
		if reports[n.ID].report == nil && (seen.Active == nil || !seen.Active.Lost(n.ID)) {
			return errors.E(errors.PreconditionFailed, errors.Layout, "", "whether nodes have adopted a layout that Consul has lost is not known yet, since the node %v has not reported to this rebalancer, which "+
				"has just become the active one: try again in %s", n.ID, reportedBy-now.Sub(t.began).Round(time.Second))
		}
	}
	return nil
}

// putBack puts the newest layouts back that nodes have adopted, if Consul has older ones or none.
func (s *Service) putBack(ctx context.Context, t *term) error {
	ctx, cancel := context.WithTimeout(ctx, recoverTimeout)
	defer cancel()
	highest := t.highest()
	if highest == 0 || s.deps.Clock.Now().Sub(t.began) < reportedBy {
		return nil
	}
	s.cluster.changing.Lock()
	defer s.cluster.changing.Unlock()
	seen, err := s.cluster.store.Read(ctx)
	if err != nil || highest <= seen.Layout().Number {
		return err
	}
	a, from, err := s.adopted(ctx, t, highest)
	if err != nil {
		return err
	}
	if err := s.cluster.store.Recover(ctx, t.lock(), seen, a, from, s.deps.Clock.Now()); err != nil {
		return err
	}
	s.note(adminv1.EventKind_EVENT_KIND_LAYOUT, adminv1.Severity_SEVERITY_WARNING, "",
		"Consul has lost the layouts in force; those that chunk-nodes have adopted are put back, and changes that were staged are forgotten")
	s.deps.Logger.WarnContext(ctx, "Consul has lost the layouts in force; those that chunk-nodes have adopted are put back; changes that were staged are forgotten",
		"current", a.Number(), "oldest", a.Oldest(), "from", from, "before", seen.Layout().Number)
	return nil
}

// adopted is the newest layouts that nodes have adopted, or that this instance had seen in Consul, and who has them. Kinds: Unavailable; Conflict if nodes have different ones.
func (s *Service) adopted(ctx context.Context, t *term, number uint64) (*layout.Active, uuid.UUID, error) {
	var newest *layout.Active
	var from uuid.UUID
	if last, _ := s.cluster.inForce(); last != nil && last.Number() >= number {
		newest, from = last, s.cluster.self.NodeID
	}
	var problems error
	answers := 0
	for id, r := range t.roster.all(s.deps.Clock.Now()) {
		if !r.present || r.report.GetStatus().GetLayout() < number || answers == asked {
			continue
		}
		a, err := s.layoutsOf(ctx, id)
		if err != nil {
			problems = errors.Join(problems, errors.Annotate(err, "asking the node %v for its layouts", id))
			continue
		}
		answers++
		if newest != nil && newest.Number() == a.Number() {
			if err := agree(newest.Current(), a.Current(), from, id); err != nil {
				return nil, from, err
			}
		}
		if a.Newer(newest) {
			newest, from = a, id
		}
	}
	if newest == nil {
		return nil, from, errors.Join(errors.E(errors.Unavailable, errors.Layout, "", "no node that has adopted layout %d answers", number), problems)
	}
	return newest, from, nil
}

// agree refuses two layouts with the same number that are not the same.
func agree(a, b layout.Placement, ofA, ofB uuid.UUID) error {
	x, err := a.MarshalBinary()
	if err != nil {
		return err
	}
	y, err := b.MarshalBinary()
	if err != nil {
		return err
	}
	if !bytes.Equal(x, y) {
		return errors.E(errors.Conflict, errors.Layout, "", "%v and %v have adopted different layouts with the number %d: one of them belongs to another history; set that node aside", ofA, ofB, a.Layout.Number)
	}
	return nil
}

// layoutsOf asks a node, which no layout needs to have, for the layouts that it has adopted.
func (s *Service) layoutsOf(ctx context.Context, id chunk.NodeID) (a *layout.Active, err error) {
	conn, err := s.deps.Dial(consul.ServiceChunkNode, id)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, s.config.StatusTimeout)
	defer cancel()
	answer, err := chunknodev1.NewChunkNodeServiceClient(conn).GetLayouts(ctx, &chunknodev1.GetLayoutsRequest{})
	if err != nil {
		return nil, err
	}
	return layout.ParseActive(answer.GetLayouts())
}
