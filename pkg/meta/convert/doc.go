// Package convert translates the values of package meta to protobuf and back.
// Both the stored records and the wire use it, so that a field is
// written in one place.
//
// A function named after a type makes the message; the one with From behind
// the name reads it, and fails with kind Invalid where an ID or a hash has the wrong length.
package convert
