package rebalancer

import (
	"context"
	"io"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/errors"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
	"deuxfleurs.fr/garage/services/rebalancer/leave"
)

// clusterServer answers the chunk-nodes. It is a part of Service, whose other methods are the operator's.
type clusterServer struct {
	clusterv1.UnimplementedClusterServiceServer
	*Service
}

// reporter is who speaks: the node and the process of it.
func reporter(node, process []byte) (chunk.NodeID, uuid.UUID, error) {
	id, err := uuid.FromBytes(node)
	if err != nil {
		return id, uuid.Nil, errors.Wrap(errors.Invalid, err, "the ID of the node")
	}
	p, err := uuid.FromBytes(process)
	return id, p, errors.Wrap(errors.Invalid, err, "the ID of the process")
}

// Report receives a node's reports until it goes, another stream of it begins, or this instance is no longer the active one.
func (n *clusterServer) Report(stream grpc.BidiStreamingServer[clusterv1.ReportRequest, clusterv1.ReportResponse]) error {
	t, err := n.here()
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return endOfStream(err)
	}
	id, process, err := reporter(first.GetNodeId(), first.GetProcess())
	if err != nil {
		return err
	}
	if of, err := uuid.FromBytes(first.GetStatus().GetClusterId()); err != nil || of != n.deps.ClusterID {
		return errors.E(errors.Invalid, errors.Node, id.String(), "it belongs to the cluster %v, and this is %v", of, n.deps.ClusterID)
	}
	if err := n.outrank(stream.Context(), t, id, first.GetTerm()); err != nil {
		return err
	}
	serial, err := t.roster.join(id, process, n.deps.Clock.Now())
	if err != nil {
		return err
	}
	defer t.roster.leave(id, serial)
	// The node must know of this term before it counts as present: its first message only says who it is, and the next one
	// is sent when this answer has arrived.
	if err := stream.Send(&clusterv1.ReportResponse{Term: t.number}); err != nil {
		return err
	}
	return n.receive(t, stream, id, serial)
}

// receive takes the reports as they come. The goroutine that waits for the next ends with the stream, which ends when
// this returns.
func (n *clusterServer) receive(t *term, stream grpc.BidiStreamingServer[clusterv1.ReportRequest, clusterv1.ReportResponse], id chunk.NodeID, serial int) error {
	reports := make(chan *clusterv1.ReportRequest)
	failed := make(chan error, 1)
	go func() {
		for {
			r, err := stream.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case reports <- r:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	for {
		select {
		case r := <-reports:
			if !t.roster.put(id, serial, r, n.deps.Clock.Now()) {
				return errors.E(errors.Conflict, errors.Node, id.String(), "another stream of it has begun")
			}
			if c := r.GetTraffic(); c != nil {
				n.counts.put(id.String(), string(r.GetProcess()), nodeCounters(c), n.deps.Clock.Now())
			}
		case err := <-failed:
			return endOfStream(err)
		case <-t.ctx.Done():
			return errors.Newf(errors.Unavailable, "this rebalancer is no longer the active one")
		}
	}
}

// endOfStream makes the regular end of a stream no error.
func endOfStream(err error) error {
	if errors.IsTarget(err, io.EOF) || errors.Is(err, errors.Canceled) {
		return nil
	}
	return err
}

// Leave decides whether a node may stop now.
func (n *clusterServer) Leave(ctx context.Context, r *clusterv1.LeaveRequest) (*clusterv1.LeaveResponse, error) {
	t, err := n.here()
	if err != nil {
		return nil, err
	}
	id, process, err := reporter(r.GetNodeId(), r.GetProcess())
	if err != nil {
		return nil, err
	}
	snapshot, err := n.cluster.lastSnapshot(ctx)
	if err != nil {
		n.deps.Logger.WarnContext(ctx, "a node wants to leave, and the layout is the last one known", "node", id, "error", err)
	}
	answer := t.mayLeave(leave.Question{Node: id, Process: process, Now: n.deps.Clock.Now(), Members: n.members(t), Layouts: snapshot.Active})
	if answer.Granted {
		n.deps.Logger.InfoContext(ctx, "a node has leave to stop", "node", id)
	} else {
		n.deps.Logger.InfoContext(ctx, "a node may not stop yet", "node", id, "reason", answer.Reason)
	}
	return &clusterv1.LeaveResponse{Granted: answer.Granted, Term: t.number, Reason: answer.Reason,
		ValidFor: durationpb.New(leave.ValidFor), RetryAfter: durationpb.New(leave.RetryAfter)}, nil
}

func (t *term) mayLeave(q leave.Question) leave.Answer {
	t.leaving.Lock()
	defer t.leaving.Unlock()
	return t.book.Ask(q)
}

// members are the nodes that are there: well in Consul's eyes, and reporting for long enough that others have noticed.
func (s *Service) members(t *term) map[chunk.NodeID]leave.Member {
	healthy := map[chunk.NodeID]bool{}
	for _, i := range s.cluster.consul.Watch(consul.ServiceChunkNode).Instances() {
		// A node that moved to another machine is still listed, critical, where it was.
		healthy[i.NodeID] = healthy[i.NodeID] || i.Healthy
	}
	members := map[chunk.NodeID]leave.Member{}
	now := s.deps.Clock.Now()
	for id, r := range t.roster.all(now) {
		members[id] = leave.Member{Present: r.present && healthy[id] && now.Sub(r.since) >= s.config.Return, Process: r.process}
	}
	return members
}
