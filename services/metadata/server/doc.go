// Package server serves a meta.Store over gRPC, method by method. The rules are those of package meta;
// package pkg/meta/remote is the other side.
//
// Invariant: an answer is bounded, whatever limit the caller asks for.
//
// Start reading at [Register]; uploads.go has the methods about uploads, admin.go those about keys and buckets.
package server
