package remote

import (
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

// exchange sends a chunk and receives the answer, which may come before all was sent.
func exchange(stream grpc.ClientStream, header proto.Message, data *buffer.Buffer, answer proto.Message) error {
	err := stream.SendMsg(&Frame{Header: header})
	if err == nil {
		err = Send(stream, data)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if err != nil && err != io.EOF { // EOF: the answer is there, or tells what went wrong
		return err
	}
	if err := stream.RecvMsg(answer); err != nil {
		return err
	}
	if err := stream.RecvMsg(answer); err != io.EOF {
		return errors.Join(errors.Newf(errors.Internal, "the answer did not end"), err)
	}
	return nil
}

func checkSize(h chunk.Hash, data *buffer.Buffer) error {
	if data.Len() == 0 || data.Len() > chunk.MaxSize {
		return errors.E(errors.Invalid, errors.Chunk, h.String(), "a chunk has 1 to %d bytes, not %d", chunk.MaxSize, data.Len())
	}
	return nil
}
