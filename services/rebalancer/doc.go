// Package rebalancer is the service that the operator speaks to: the admin gRPC API, which manages
// access keys, buckets and rights, and tells how the cluster is. The command line (services/cmd/garage)
// is its client.
//
// Invariants: it keeps nothing of its own: keys and buckets are in the metadata store, and what it says
// about nodes is asked at that moment; a node or a service that does not answer within
// [Config.StatusTimeout] is shown as such and never delays the answer longer. A secret leaves it only
// when a key is made or when it is asked for.
//
// Start reading at [Deps], which is all it works with, and [New].
package rebalancer
