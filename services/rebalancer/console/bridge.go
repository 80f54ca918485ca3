package console

import (
	"context"
	"io"
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"deuxfleurs.fr/garage/pkg/errors"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

const maxCall = 1 << 20

// call hands a call on to the admin API.
func (c *Console) call(w http.ResponseWriter, r *http.Request, s *session) {
	method := r.PathValue("method")
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCall))
	if err != nil {
		fail(w, errors.Wrap(errors.Invalid, err, "the request cannot be read"))
		return
	}
	reply, err := c.invoke(r.Context(), method, body, func(request proto.Message, result error) {
		if audited(method, request) {
			c.record(r.Context(), Entry{Operator: s.operator.Name, From: remote(r), Action: method, Request: withoutSecrets(request)}, result)
		}
	})
	if errors.Is(err, errors.Unauthenticated) {
		// It is not the session that is refused, but this server by another.
		err = errors.Wrap(errors.PermissionDenied, err, "this server was refused")
	}
	if err != nil {
		fail(w, err)
		return
	}
	content, err := inJSON.Marshal(reply)
	if err != nil {
		fail(w, errors.Wrap(errors.Internal, err, "the answer cannot be written"))
		return
	}
	send(w, http.StatusOK, content)
}

// inJSON gives every field, also those that are zero.
var inJSON = protojson.MarshalOptions{EmitUnpopulated: true}

// invoke calls the method of that name with a request in JSON. done is told of every request that was understood, and how it ended.
func (c *Console) invoke(ctx context.Context, method string, body []byte, done func(request proto.Message, result error)) (proto.Message, error) {
	if effects[method] == 0 {
		return nil, errors.Newf(errors.NotFound, "the admin API has no method %q", method)
	}
	for _, m := range adminv1.AdminService_ServiceDesc.Methods {
		if m.MethodName != method {
			continue
		}
		ctx, cancel := context.WithTimeout(c.deps.Admin.AsOperator(ctx), callTimeout)
		defer cancel()
		var request proto.Message
		reply, err := m.Handler(c.deps.API, ctx, func(into any) error {
			message := into.(proto.Message)
			if err := protojson.Unmarshal(body, message); err != nil {
				return errors.Wrap(errors.Invalid, err, "%s", method)
			}
			request = message
			return nil
		}, nil)
		if request != nil {
			done(request, err)
		}
		if err != nil {
			return nil, err
		}
		return reply.(proto.Message), nil
	}
	return nil, errors.Newf(errors.NotFound, "the admin API has no method %q", method)
}
