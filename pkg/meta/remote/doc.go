// Package remote is a meta.Store that asks a metadata service over gRPC.
//
// Each method is one call; package convert translates what is sent. The other side is package server of
// the metadata service, and the conformance suite (package metatest) runs there over both.
//
// Start reading at [Store]; uploads.go has the methods about uploads, admin.go those about keys and buckets.
package remote
