package errors

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	commonv1 "deuxfleurs.fr/garage/proto/garage/common/v1"
)

var kindCodes = [numKinds]codes.Code{
	Internal:           codes.Internal,
	Invalid:            codes.InvalidArgument,
	NotFound:           codes.NotFound,
	AlreadyExists:      codes.AlreadyExists,
	NotEmpty:           codes.FailedPrecondition,
	PreconditionFailed: codes.FailedPrecondition,
	Conflict:           codes.Aborted,
	PermissionDenied:   codes.PermissionDenied,
	Unauthenticated:    codes.Unauthenticated,
	Unavailable:        codes.Unavailable,
	Overloaded:         codes.ResourceExhausted,
	Deadline:           codes.DeadlineExceeded,
	Canceled:           codes.Canceled,
	Corrupted:          codes.DataLoss,
	Gone:               codes.FailedPrecondition,
	NotImplemented:     codes.Unimplemented,
	Full:               codes.ResourceExhausted,
}

// ToStatus translates an error to a gRPC status error that FromStatus
// translates back. It returns nil for nil, and a status error unchanged.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if !As(err, &e) {
		if _, ok := status.FromError(err); ok {
			return err
		}
	}
	kind := KindOf(err)
	// A name may be any bytes (an object's key); protobuf sends strings of UTF-8 only.
	message := strings.ToValidUTF8(err.Error(), "\uFFFD")
	detail := &commonv1.Error{Kind: uint32(kind), Message: message}
	if e != nil {
		detail.Entity, detail.Name = string(e.Entity), strings.ToValidUTF8(e.Name, "\uFFFD")
	}
	st := status.New(kindCodes[kind], message)
	if with, derr := st.WithDetails(detail); derr == nil {
		st = with
	}
	return st.Err()
}

// FromStatus translates a gRPC status error to an Error. It returns nil for
// nil. A status that no Garage service made gets the kind nearest to its code.
func FromStatus(err error) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	for _, d := range st.Details() {
		if detail, ok := d.(*commonv1.Error); ok && detail.GetKind() < uint32(numKinds) {
			return &remoteError{Error{
				Kind: Kind(detail.GetKind()), Entity: Entity(detail.GetEntity()), Name: detail.GetName(), Msg: detail.GetMessage(),
			}}
		}
	}
	return &Error{Kind: kindOfCode(st.Code()), Msg: st.Message()}
}

// remoteError is an Error whose message already names its entity.
type remoteError struct{ e Error }

func (r *remoteError) Error() string { return r.e.Msg }
func (r *remoteError) Unwrap() error { return &r.e }

// Answered reports whether an error that FromStatus made is what a Garage service answered, and not a failure to reach one.
func Answered(err error) bool {
	var r *remoteError
	return As(err, &r)
}

func kindOfCode(c codes.Code) Kind {
	switch c {
	case codes.InvalidArgument, codes.OutOfRange:
		return Invalid
	case codes.NotFound:
		return NotFound
	case codes.AlreadyExists:
		return AlreadyExists
	case codes.FailedPrecondition:
		return PreconditionFailed
	case codes.Aborted:
		return Conflict
	case codes.PermissionDenied:
		return PermissionDenied
	case codes.Unauthenticated:
		return Unauthenticated
	case codes.Unavailable:
		return Unavailable
	case codes.ResourceExhausted:
		return Overloaded
	case codes.DeadlineExceeded:
		return Deadline
	case codes.Canceled:
		return Canceled
	case codes.DataLoss:
		return Corrupted
	case codes.Unimplemented:
		return NotImplemented
	}
	return Internal
}
