package remote

import (
	"context"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/rpc"
	"deuxfleurs.fr/garage/pkg/telemetry"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// DefaultTimeout is given to calls whose context has no deadline.
const DefaultTimeout = time.Minute

// Options say which node a Client speaks to.
type Options struct {
	ID          chunk.NodeID // who must answer
	Address     string       // host:port
	Credentials credentials.TransportCredentials
	Pool        *buffer.Pool           // memory for what Get receives
	Metrics     *telemetry.GRPCMetrics // may be nil
	Timeout     time.Duration          // of calls without deadline; zero: DefaultTimeout
	Dial        []grpc.DialOption      // added to those of package rpc
}

// Client is a chunk.Node that answers over gRPC. It has three connections, made
// when first used, so that neither chunks nor repair hold up small calls.
type Client struct {
	o                    Options
	bulk, small, mending chunknodev1.ChunkNodeServiceClient
	conns                []*grpc.ClientConn
}

var _ chunk.Node = (*Client)(nil)

// New makes a client. Close it.
func New(o Options) (*Client, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	c := &Client{o: o}
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

// ID is the node that must answer.
func (c *Client) ID() chunk.NodeID { return c.o.ID }

// Close closes the connections; calls under way fail.
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
func (c *Client) Get(ctx context.Context, h chunk.Hash) (*buffer.Buffer, error) {
	ctx, cancel := c.call(ctx)
	defer cancel()
	stream, err := c.bulk.Get(ctx, &chunknodev1.GetRequest{Hash: h[:]})
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
	if got != h {
		b.Release()
		return nil, errors.E(errors.Corrupted, errors.Chunk, h.String(), "the bytes that came from node %v have the hash %v", c.o.ID, got)
	}
	return b, nil
}

// failed gives an error of a call its final form.
func (c *Client) failed(err error) error {
	if err == io.EOF {
		err = errors.Newf(errors.Internal, "the answer ended too early")
	}
	return errors.Annotate(err, "node %v at %s", c.o.ID, c.o.Address)
}

// Put implements chunk.Store.
func (c *Client) Put(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref) (chunk.Outcome, error) {
	return c.put(ctx, data, &chunknodev1.PutHeader{Hash: h[:], Length: uint32(data.Len()), Ref: refTo(ref)}, h)
}

// PutFor implements chunk.Node.
func (c *Client) PutFor(ctx context.Context, h chunk.Hash, data *buffer.Buffer, ref chunk.Ref, owner chunk.NodeID) (chunk.Outcome, error) {
	return c.put(ctx, data, &chunknodev1.PutHeader{Hash: h[:], Length: uint32(data.Len()), Ref: refTo(ref), StandInFor: owner[:]}, h)
}

func (c *Client) put(ctx context.Context, data *buffer.Buffer, header *chunknodev1.PutHeader, h chunk.Hash) (chunk.Outcome, error) {
	if err := checkSize(h, data); err != nil {
		return 0, err
	}
	ctx, cancel := c.call(ctx)
	defer cancel()
	stream, err := c.bulk.Put(ctx)
	if err != nil {
		return 0, c.failed(err)
	}
	var answer chunknodev1.PutResponse
	if err := exchange(stream, header, data, &answer); err != nil {
		return 0, c.failed(err)
	}
	return outcomeFrom(answer.Outcome)
}

// Repair implements chunk.Node.
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
	header := &chunknodev1.RepairHeader{Hash: h[:], Length: uint32(data.Len())}
	var answer chunknodev1.RepairResponse
	return c.failed(exchange(stream, header, data, &answer))
}

// PutRef implements chunk.Store.
func (c *Client) PutRef(ctx context.Context, h chunk.Hash, ref chunk.Ref) (chunk.Outcome, error) {
	ctx, cancel := c.call(ctx)
	defer cancel()
	answer, err := c.small.PutRef(ctx, &chunknodev1.PutRefRequest{Hash: h[:], Ref: refTo(ref)})
	if err != nil {
		return 0, c.failed(err)
	}
	return outcomeFrom(answer.Outcome)
}

// Delete implements chunk.Store.
func (c *Client) Delete(ctx context.Context, h chunk.Hash, ref chunk.Ref) error {
	ctx, cancel := c.call(ctx)
	defer cancel()
	_, err := c.small.Delete(ctx, &chunknodev1.DeleteRequest{Hash: h[:], Ref: refTo(ref)})
	return c.failed(err)
}

// Owe implements chunk.Node.
func (c *Client) Owe(ctx context.Context, h chunk.Hash, ref chunk.Ref, owner chunk.NodeID) error {
	ctx, cancel := c.call(ctx)
	defer cancel()
	_, err := c.small.Owe(ctx, &chunknodev1.OweRequest{Hash: h[:], Ref: refTo(ref), Owner: owner[:]})
	return c.failed(err)
}

// Status implements chunk.Node.
func (c *Client) Status(ctx context.Context) (chunk.NodeStatus, error) {
	ctx, cancel := c.call(ctx)
	defer cancel()
	answer, err := c.small.Status(ctx, &chunknodev1.StatusRequest{})
	if err != nil {
		return chunk.NodeStatus{}, c.failed(err)
	}
	status, err := statusFrom(answer)
	if err == nil && status.ID != c.o.ID {
		err = errors.E(errors.Unavailable, errors.Node, c.o.ID.String(), "another node answers at %s: %v", c.o.Address, status.ID)
	}
	return status, err
}
