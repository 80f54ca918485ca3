package console

import (
	"context"
	"io"
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"deuxfleurs.fr/garage/pkg/errors"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

const maxCall = 1 << 20

// service describes the admin API.
var service = adminv1.File_garage_admin_v1_admin_proto.Services().ByName("AdminService")

// inJSON gives every field, also those that are zero.
var inJSON = protojson.MarshalOptions{EmitUnpopulated: true}

// call hands a call on to the admin API.
func (c *Console) call(w http.ResponseWriter, r *http.Request, s *session) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCall))
	if err != nil {
		fail(w, errors.Wrap(errors.Invalid, err, "the request cannot be read"))
		return
	}
	ctx, cancel := context.WithTimeout(c.inItsName(r, s), c.callTimeout)
	defer cancel()
	content, err := c.invoke(ctx, r.PathValue("method"), body)
	if errors.Is(err, errors.Unauthenticated) {
		// It is not the session that is refused, but this server by another.
		err = errors.Wrap(errors.PermissionDenied, err, "this server was refused")
	}
	if err != nil {
		fail(w, err)
		return
	}
	send(w, http.StatusOK, content)
}

// invoke calls the method of that name. Request and answer are JSON.
func (c *Console) invoke(ctx context.Context, name string, body []byte) ([]byte, error) {
	method := service.Methods().ByName(protoreflect.Name(name))
	if method == nil || effects[name] == 0 {
		return nil, errors.Newf(errors.NotFound, "the admin API has no method %q", name)
	}
	request, err := message(method.Input())
	if err != nil {
		return nil, err
	}
	reply, err := message(method.Output())
	if err != nil {
		return nil, err
	}
	if err := protojson.Unmarshal(body, request); err != nil {
		return nil, errors.Wrap(errors.Invalid, err, "%s", name)
	}
	if err := c.deps.API.Invoke(ctx, "/"+string(service.FullName())+"/"+name, request, reply); err != nil {
		return nil, err
	}
	content, err := inJSON.Marshal(reply)
	return content, errors.Wrap(errors.Internal, err, "the answer of %s", name)
}

// message makes an empty message of a type.
func message(d protoreflect.MessageDescriptor) (proto.Message, error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		return nil, errors.Wrap(errors.Internal, err, "the admin API")
	}
	return kind.New().Interface(), nil
}
