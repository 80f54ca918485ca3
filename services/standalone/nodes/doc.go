// Package nodes runs a small cluster on one machine: gateway, metadata, rebalancer and three
// chunk-nodes in three zones, each a process of its own on loopback. It is for trying out and for
// tests; a real cluster has a service manager.
//
// $DATA/nodes.json names the processes, so that a test can stop, pause or restart one of them: a
// process that ends is said and not started again, and the others go on.
//
// Invariants: nodes.json is written when every process is ready; every process that is alive is asked
// to stop, in the reverse order of starting, before Run returns.
//
// Start reading at [Supervisor.Run].
package nodes
