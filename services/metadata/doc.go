// Package metadata is the service that knows who, which bucket, which objects
// and which chunks. It opens the store (package pebble in the data
// folder, or package cql in a database that several services share), serves it over gRPC (package server) and sweeps away what
// is of no use any more (package sweep decides, sweeper.go does). Package snapshot copies all of it
// and brings it back; snapshots.go says when, and where copies are kept.
//
// Start reading at New.
package metadata
