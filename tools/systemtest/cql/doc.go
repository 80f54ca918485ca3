// Package cql tests the CQL metadata store on three database nodes of which one is stopped, killed, paused and started again: the
// conformance suite, the random comparison with another store, and histories of several services that write the same keys, some of
// them paused between any two steps of a conditional write, checked for linearizability (by porcupine).
//
// The tests have the build tag stack and need a stack with three nodes:
//
//	stack run cassandra --cql-nodes 3 -- go test -tags stack ./systemtest/cql/...
package cql
