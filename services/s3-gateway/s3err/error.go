package s3err

import (
	"errors"
	"fmt"
	"net/http"
)

// Code is S3's name of an error, as it stands in the Code element of the answer. It is an error by itself.
type Code string

// Error gives the code and its standard message.
func (c Code) Error() string { return string(c) + ": " + c.Message() }

// Status is the HTTP status that goes with the code; an unknown code gives 500.
func (c Code) Status() int {
	if e, ok := table[c]; ok {
		return e.status
	}
	return http.StatusInternalServerError
}

// Message is S3's standard message for the code.
func (c Code) Message() string {
	if e, ok := table[c]; ok {
		return e.message
	}
	return "We encountered an internal error. Please try again."
}

// Known reports whether the code is one of this package's.
func (c Code) Known() bool {
	_, ok := table[c]
	return ok
}

// Msg makes an error of this code with a message of its own, formatted as by fmt.Sprintf.
func (c Code) Msg(format string, args ...any) *Error {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	return &Error{Code: c, Message: format}
}

// Because makes an error of this code, with its standard message, that keeps its cause for the log. The cause is never
// shown to the client.
func (c Code) Because(cause error) *Error {
	return &Error{Code: c, Message: c.Message(), Cause: cause}
}

// With makes an error of this code, with its standard message, that carries one more element.
func (c Code) With(name, value string) *Error {
	return (&Error{Code: c, Message: c.Message()}).With(name, value)
}

// Field is one more element of the answer's XML, such as Region or ServerTime.
type Field struct {
	Name, Value string
}

// Error is an S3 error with its particulars.
type Error struct {
	Code     Code
	Message  string
	Resource string  // the bucket or object concerned; empty means the path of the request
	Fields   []Field // further elements of the answer, in order
	Cause    error   // for the log only; may be nil
}

// Error gives the code, the message and the cause.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Message
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Status is the HTTP status of the answer.
func (e *Error) Status() int { return e.Code.Status() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether target is this error's code.
func (e *Error) Is(target error) bool {
	c, ok := target.(Code)
	return ok && c == e.Code
}

// With adds an element to the answer and returns the same error.
func (e *Error) With(name, value string) *Error {
	e.Fields = append(e.Fields, Field{Name: name, Value: value})
	return e
}

// On names the resource concerned and returns the same error.
func (e *Error) On(resource string) *Error {
	e.Resource = resource
	return e
}

// By sets the cause, kept for the log, and returns the same error.
func (e *Error) By(cause error) *Error {
	e.Cause = cause
	return e
}

// From finds the S3 error in a chain, be it an *Error or a bare Code.
func From(err error) (*Error, bool) {
	var e *Error
	if errors.As(err, &e) {
		return e, true
	}
	var c Code
	if errors.As(err, &c) {
		return &Error{Code: c, Message: c.Message()}, true
	}
	return nil, false
}
