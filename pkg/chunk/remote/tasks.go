package remote

import (
	"context"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// Command implements chunk.Controlled.
func (c *Client) Command(ctx context.Context, command chunk.Command) (chunk.TaskStatus, error) {
	answer, err := small(ctx, c, c.mending.Command, &chunknodev1.CommandRequest{
		Task: chunknodev1.Task(command.Task), Start: command.Start, Rate: command.Rate, Term: command.Term, ConfirmUpTo: command.Confirm})
	if err != nil {
		return chunk.TaskStatus{}, err
	}
	return taskFrom(answer.Status), nil
}

// CommandFrom reads a command from the wire.
func CommandFrom(r *chunknodev1.CommandRequest) chunk.Command {
	return chunk.Command{Task: chunk.Task(r.Task), Start: r.Start, Rate: r.Rate, Term: r.Term, Confirm: r.ConfirmUpTo}
}

// Damaged implements chunk.Controlled.
func (c *Client) Damaged(ctx context.Context, after chunk.Hash, limit int) ([]chunk.Damage, error) {
	var all []chunk.Damage
	for len(all) < limit {
		asked := min(limit-len(all), MaxEntries)
		answer, err := small(ctx, c, c.mending.ListDamaged, &chunknodev1.ListDamagedRequest{After: after[:], Limit: uint32(asked)})
		if err != nil {
			return nil, err
		}
		for _, d := range answer.Damaged {
			h, err := HashFrom(d.Hash)
			if err != nil {
				return nil, c.failed(err)
			}
			refs, err := refsFrom(d.Refs)
			if err != nil {
				return nil, c.failed(err)
			}
			all = append(all, chunk.Damage{Hash: h, Refs: refs, Since: timeFrom(d.Since), Tries: int(d.Tries), Problem: d.Problem})
			after = h
		}
		if len(answer.Damaged) < asked {
			break
		}
	}
	return all, nil
}

// Gaps implements chunk.GapTeller.
func (c *Client) Gaps(ctx context.Context) (*chunk.Gaps, error) {
	answer, err := small(ctx, c, c.mending.GetGaps, &chunknodev1.GetGapsRequest{})
	if err != nil {
		return nil, err
	}
	gaps, err := gapsFrom(answer)
	if err != nil {
		return nil, c.failed(err)
	}
	return gaps, nil
}

// GapsTo are gaps on the wire.
func GapsTo(g *chunk.Gaps) *chunknodev1.GetGapsResponse {
	m := &chunknodev1.GetGapsResponse{Wanted: g.Wanted[:], Failed: g.Failed[:]}
	for owner, partitions := range g.Owed {
		m.Owed = append(m.Owed, &chunknodev1.OwedGaps{Owner: owner[:], Partitions: partitions[:]})
	}
	return m
}

func gapsFrom(m *chunknodev1.GetGapsResponse) (*chunk.Gaps, error) {
	g := &chunk.Gaps{Owed: make(map[chunk.NodeID]*chunk.PartitionSet)}
	set := func(to *chunk.PartitionSet, from []byte) error {
		if len(from) != len(to) {
			return errors.Newf(errors.Internal, "a set of partitions has %d bytes, not %d", len(to), len(from))
		}
		copy(to[:], from)
		return nil
	}
	err := errors.Join(set(&g.Wanted, m.Wanted), set(&g.Failed, m.Failed))
	for _, o := range m.Owed {
		owner, e := uuid.FromBytes(o.Owner)
		partitions := new(chunk.PartitionSet)
		err = errors.Join(err, e, set(partitions, o.Partitions))
		g.Owed[owner] = partitions
	}
	return g, err
}

// DamageTo is a damaged chunk on the wire.
func DamageTo(d chunk.Damage) *chunknodev1.Damage {
	return &chunknodev1.Damage{Hash: d.Hash[:], Refs: refsTo(d.Refs), Since: timeTo(d.Since), Tries: int32(d.Tries), Problem: d.Problem}
}

// The numbers of tasks are the same on the wire; those of their states begin at 1 there.

// TaskTo is the status of a task on the wire.
func TaskTo(t chunk.TaskStatus) *chunknodev1.TaskStatus {
	return &chunknodev1.TaskStatus{Task: chunknodev1.Task(t.Task), State: chunknodev1.TaskState(t.State + 1), Layout: t.Layout, Done: t.Done, Total: t.Total,
		Bytes: t.Bytes, Rate: t.Rate, Began: timeTo(t.Began), Ended: timeTo(t.Ended), Problems: t.Problems, Note: t.Note}
}

func taskFrom(t *chunknodev1.TaskStatus) chunk.TaskStatus {
	return chunk.TaskStatus{Task: chunk.Task(t.GetTask()), State: chunk.TaskState(max(t.GetState()-1, 0)), Layout: t.GetLayout(), Done: t.GetDone(), Total: t.GetTotal(),
		Bytes: t.GetBytes(), Rate: t.GetRate(), Began: timeFrom(t.GetBegan()), Ended: timeFrom(t.GetEnded()), Problems: t.GetProblems(), Note: t.GetNote()}
}

// timeTo is a time on the wire, where the zero time is left out.
func timeTo(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func timeFrom(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
