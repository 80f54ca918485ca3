package console

import (
	"encoding/json"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"deuxfleurs.fr/garage/pkg/errors"
)

// answer sends JSON. That it is not read is the browser's affair.
func answer(w http.ResponseWriter, value any) {
	content, err := json.Marshal(value)
	if err != nil {
		fail(w, errors.Wrap(errors.Internal, err, "the answer cannot be written"))
		return
	}
	send(w, http.StatusOK, content)
}

func send(w http.ResponseWriter, code int, content []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(content) // who asked may have gone
}

// fail answers with an error: its gRPC code by name, and its message.
func fail(w http.ResponseWriter, err error) {
	st, _ := status.FromError(errors.ToStatus(err))
	content, jsonErr := json.Marshal(map[string]string{"code": st.Code().String(), "message": st.Message()})
	if jsonErr != nil {
		content = []byte(`{"code":"Internal"}`)
	}
	w.Header().Set("Cache-Control", "no-store")
	send(w, httpCode(err, st.Code()), content)
}

func httpCode(err error, c codes.Code) int {
	switch c {
	case codes.InvalidArgument:
		return http.StatusBadRequest
	case codes.NotFound:
		return http.StatusNotFound
	case codes.AlreadyExists, codes.Aborted:
		return http.StatusConflict
	case codes.FailedPrecondition:
		return http.StatusPreconditionFailed
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	case codes.ResourceExhausted:
		if errors.Is(err, errors.Full) {
			return http.StatusInsufficientStorage
		}
		return http.StatusTooManyRequests
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	case codes.Unimplemented:
		return http.StatusNotImplemented
	}
	return http.StatusInternalServerError
}
