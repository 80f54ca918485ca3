package remote

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/rpc"
	"deuxfleurs.fr/garage/pkg/telemetry"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// DefaultTimeout is given to calls whose context has no deadline.
const DefaultTimeout = time.Minute

// Options say which node a Client speaks to.
type Options struct {
	ID          chunk.NodeID // who must answer
	ClusterID   uuid.UUID    // of who asks: layouts go between nodes of one cluster only; zero: not known, and not compared
	Address     string       // host:port
	Credentials credentials.TransportCredentials
	Pool        *buffer.Pool           // memory for what Get receives
	Metrics     *telemetry.GRPCMetrics // may be nil
	Timeout     time.Duration          // of calls without deadline; zero: DefaultTimeout
	Clock       clock.Clock            // by which it is judged whether the node answers; nil: the system's
	Dial        []grpc.DialOption      // added to those of package rpc
}

// Client is a node that answers over gRPC, as who has some layouts in force sees it: its requests carry the number of the current one.
type Client struct {
	*link
	layouts *layout.Active // nil: requests carry none
}

var (
	_ chunk.Peer       = (*Client)(nil)
	_ chunk.Controlled = (*Client)(nil)
)

// link is the way to a node. It has three connections, made when first used,
// so that neither chunks nor repair hold up small calls.
type link struct {
	o                    Options
	bulk, small, mending chunknodev1.ChunkNodeServiceClient
	conns                []*grpc.ClientConn
	reach                reach
	handing              chan struct{} // held by who hands layouts over
	handed               atomic.Uint64 // how often that was done
}

// New makes a client whose requests carry no layout. Close it.
func New(o Options) (*Client, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	c := &Client{link: &link{o: o, handing: make(chan struct{}, 1)}}
	options := append([]grpc.DialOption{grpc.WithDefaultCallOptions(grpc.ForceCodecV2(Codec()))}, o.Dial...)
	for _, to := range []*chunknodev1.ChunkNodeServiceClient{&c.bulk, &c.small, &c.mending} {
		conn, err := rpc.Dial(o.Address, o.Credentials, o.Metrics, options...)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.conns = append(c.conns, conn)
		*to = chunknodev1.NewChunkNodeServiceClient(conn)
	}
	return c, nil
}

// At is the same node over the same connections, as who has these layouts in force sees it. A node whose own are older is
// handed them when it refuses a request, which is then made again; a request that fails with layout.Differs tells of newer ones.
func (c *Client) At(a *layout.Active) *Client { return &Client{link: c.link, layouts: a} }

// number is what requests carry.
func (c *Client) number() uint64 {
	if c.layouts == nil {
		return 0
	}
	return c.layouts.Number()
}

// ID is the node that must answer.
func (c *Client) ID() chunk.NodeID { return c.o.ID }

// Close closes the connections, also those of all At; calls under way fail.
func (c *Client) Close() error {
	var errs []error
	for _, conn := range c.conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}

// call gives a request a deadline and the name of its node.
func (c *Client) call(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx = metadata.AppendToOutgoingContext(ctx, NodeKey, c.o.ID.String())
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.o.Timeout)
}

// Get implements chunk.Store.
func (c *Client) Get(ctx context.Context, h chunk.Hash) (b *buffer.Buffer, err error) {
	ctx, cancel := c.call(ctx)
	defer cancel()
	err = c.agreed(ctx, func() error {
		b, err = c.get(ctx, h)
		return err
	})
	return b, err
}

func (c *Client) get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	ctx, cancel := context.WithCancel(ctx) // ends a stream that is not read to its end
	defer cancel()
	stream, err := c.bulk.Get(ctx, &chunknodev1.GetRequest{Hash: h[:], Layout: c.number()})
	if err != nil {
		return nil, c.failed(err)
	}
	header := &chunknodev1.GetHeader{}
	f := Frame{Header: header}
	if err := stream.RecvMsg(&f); err != nil {
		return nil, c.failed(err)
	}
	f.Received.Free()
	b, got, err := Receive(stream, c.o.Pool, int(header.Length))
	if errors.Is(err, errors.Invalid) { // it is the node that is wrong, not our caller
		err = errors.Wrap(errors.Internal, err, "receiving a chunk")
	}
	if err != nil {
		return nil, c.failed(err)
	}
	c.reach.answered()
	if got != h {
		b.Release()
		return nil, errors.E(errors.Corrupted, errors.Chunk, h.String(), "the bytes that came from node %v have the hash %v", c.o.ID, got)
	}
	return b, nil
}

// failed gives an error of a call, or nil, its final form.
func (c *Client) failed(err error) error {
	c.reach.judge(err, c.o.Clock)
	if err == io.EOF {
		err = errors.Newf(errors.Internal, "the answer ended too early")
	}
	return errors.Annotate(err, "node %v at %s", c.o.ID, c.o.Address)
}

// Put implements chunk.Store.
func (c *Client) Put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	return c.put(ctx, data, &chunknodev1.PutHeader{Hash: h[:], Length: uint32(data.Len()), Ref: refTo(ref), Layout: c.number()}, h)
}

// PutFor implements chunk.Node.
func (c *Client) PutFor(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref, owner chunk.NodeID) (chunk.Outcome, error) {
	return c.put(ctx, data, &chunknodev1.PutHeader{Hash: h[:], Length: uint32(data.Len()), Ref: refTo(ref), StandInFor: owner[:], Layout: c.number()}, h)
}

func (c *Client) put(ctx context.Context, data *buffer.Buffer, header *chunknodev1.PutHeader, h chunk.Hash) (chunk.Outcome, error) {
	if err := checkSize(h, data); err != nil {
		return 0, err
	}
	ctx, cancel := c.call(ctx)
	defer cancel()
	var answer chunknodev1.PutResponse
	err := c.agreed(ctx, func() error {
		ctx, cancel := context.WithCancel(ctx) // ends a stream that was refused before its end
		defer cancel()
		stream, err := c.bulk.Put(ctx)
		if err == nil {
			err = exchange(stream, header, data, &answer)
		}
		return c.failed(err)
	})
	if err != nil {
		return 0, err
	}
	return outcomeFrom(answer.Outcome)
}

// Repair implements chunk.Node. A node takes it whatever its layout.
func (c *Client) Repair(ctx context.Context, h chunk.Hash, data *buffer.Buffer) error {
	if err := checkSize(h, data); err != nil {
		return err
	}
	ctx, cancel := c.call(ctx)
	defer cancel()
	stream, err := c.mending.Repair(ctx)
	if err != nil {
		return c.failed(err)
	}
	header := &chunknodev1.RepairHeader{Hash: h[:], Length: uint32(data.Len()), Layout: c.number()}
	var answer chunknodev1.RepairResponse
	return c.failed(exchange(stream, header, data, &answer))
}

// PutRef implements chunk.Store.
func (c *Client) PutRef(ctx context.Context, h chunk.Hash, ref chunk.Ref) (chunk.Outcome, error) {
	request := &chunknodev1.PutRefRequest{Hash: h[:], Ref: refTo(ref), Layout: c.number()}
	answer, err := small(ctx, c, c.small.PutRef, request)
	if err != nil {
		return 0, err
	}
	return outcomeFrom(answer.Outcome)
}

// Delete implements chunk.Store.
func (c *Client) Delete(ctx context.Context, h chunk.Hash, ref chunk.Ref) error {
	_, err := small(ctx, c, c.small.Delete, &chunknodev1.DeleteRequest{Hash: h[:], Ref: refTo(ref), Layout: c.number()})
	return err
}

// Owe implements chunk.Node. A node takes it whatever its layout.
func (c *Client) Owe(ctx context.Context, h chunk.Hash, ref chunk.Ref, owner chunk.NodeID) error {
	_, err := small(ctx, c, c.small.Owe, &chunknodev1.OweRequest{Hash: h[:], Ref: refTo(ref), Owner: owner[:], Layout: c.number()})
	return err
}

// Status implements chunk.Node.
func (c *Client) Status(ctx context.Context) (chunk.NodeStatus, error) {
	answer, err := small(ctx, c, c.small.Status, &chunknodev1.StatusRequest{})
	if err != nil {
		return chunk.NodeStatus{}, err
	}
	status, err := statusFrom(answer)
	if err == nil && status.ID != c.o.ID {
		err = errors.E(errors.Unavailable, errors.Node, c.o.ID.String(), "another node answers at %s: %v", c.o.Address, status.ID)
	}
	return status, err
}

// small makes a call of one message each way.
func small[Q, A any](ctx context.Context, c *Client, method func(context.Context, *Q, ...grpc.CallOption) (*A, error), request *Q) (answer *A, err error) {
	ctx, cancel := c.call(ctx)
	defer cancel()
	err = c.agreed(ctx, func() error {
		answer, err = method(ctx, request)
		return c.failed(err)
	})
	return answer, err
}
