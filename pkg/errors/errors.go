package errors

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Kind is what went wrong, as far as a caller may have to act on it.
type Kind uint8

const (
	Internal           Kind = iota // a bug, or a failure that no caller can do anything about
	Invalid                        // the request cannot be right, whatever the state
	NotFound                       // the entity does not exist
	AlreadyExists                  // the entity exists and must not
	NotEmpty                       // the entity still holds others
	PreconditionFailed             // a condition that the caller stated does not hold
	Conflict                       // another caller interfered; trying again may succeed
	PermissionDenied               // who asks may not
	Unauthenticated                // who asks is not known
	Unavailable                    // not now: a part is away, or a quorum is missing
	Overloaded                     // not now: a limit is reached; slow down
	Deadline                       // the time for it ran out; it may or may not have happened
	Canceled                       // the caller went away
	Corrupted                      // stored bytes do not match their checksum
	Gone                           // the reference was removed before; it can never be used again
	NotImplemented                 // Garage does not do this
	Full                           // no space is left for it
	numKinds
)

var kindNames = [numKinds]string{
	"internal error", "invalid", "not found", "already exists", "not empty", "precondition failed", "conflict",
	"permission denied", "not authenticated", "unavailable", "overloaded", "deadline exceeded", "canceled",
	"corrupted", "gone", "not implemented", "full",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Entity is the sort of thing an error is about.
type Entity string

const (
	None      Entity = ""
	Bucket    Entity = "bucket"
	Object    Entity = "object"
	Version   Entity = "version"
	Upload    Entity = "upload"
	Part      Entity = "part"
	Chunk     Entity = "chunk"
	AccessKey Entity = "access key"
	Node      Entity = "node"
	Layout    Entity = "layout"
	Setting   Entity = "setting"
	Folder    Entity = "folder"
)

// Error is an error with a kind.
type Error struct {
	Kind   Kind
	Entity Entity
	Name   string // which one
	Msg    string // what happened and what to do
	Err    error  // the cause, or nil
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Entity != None {
		b.WriteString(string(e.Entity))
		if e.Name != "" {
			fmt.Fprintf(&b, " %q", e.Name)
		}
		b.WriteString(": ")
	}
	switch {
	case e.Msg != "":
		b.WriteString(e.Msg)
	default:
		b.WriteString(e.Kind.String())
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// E makes an error of a kind about a named entity. The message may be empty.
func E(kind Kind, entity Entity, name string, format string, args ...any) error {
	return &Error{Kind: kind, Entity: entity, Name: name, Msg: fmt.Sprintf(format, args...)}
}

// Newf makes an error of a kind that is about nothing in particular.
func Newf(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Msg: fmt.Sprintf(format, args...)}
}

// Wrap gives err a kind and says what was being done. It returns nil for nil.
func Wrap(kind Kind, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: kind, Msg: fmt.Sprintf(format, args...), Err: err}
}

// Annotate says what was being done and keeps the kind of err. It returns nil for nil.
func Annotate(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	out := &Error{Kind: KindOf(err), Msg: fmt.Sprintf(format, args...), Err: err}
	if e := (*Error)(nil); errors.As(err, &e) {
		out.Entity, out.Name = e.Entity, e.Name
	}
	return out
}

// KindOf is the kind of the outermost Error in err's chain; context errors are
// Canceled and Deadline; everything else is Internal.
func KindOf(err error) Kind {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return Deadline
	}
	return Internal
}

// EntityOf is the entity of the outermost Error in err's chain, or None.
func EntityOf(err error) Entity {
	var e *Error
	if errors.As(err, &e) {
		return e.Entity
	}
	return None
}

// Is reports whether err has the kind. A nil error has none.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// IsEntity reports whether err has the kind and is about that sort of entity.
func IsEntity(err error, kind Kind, entity Entity) bool {
	return Is(err, kind) && EntityOf(err) == entity
}

// As, Join, New and Unwrap are those of the standard library.
func As(err error, target any) bool   { return errors.As(err, target) }
func Join(errs ...error) error        { return errors.Join(errs...) }
func New(text string) error           { return errors.New(text) }
func Unwrap(err error) error          { return errors.Unwrap(err) }
func IsTarget(err, target error) bool { return errors.Is(err, target) }
