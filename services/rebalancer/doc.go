// Package rebalancer is the service that the operator speaks to: the admin gRPC API, which manages
// access keys, buckets, rights and the layout, and tells how the cluster is. The command line
// (services/cmd/garage) is its client.
//
// Without Consul it is alone, and its nodes and services are given by hand ([Deps.Layout] …). With Consul
// ([Deps.Consul]) there may be several, of which one is active: it holds the lock (package leader), nodes
// report to it and ask it for leave to stop (package leave decides), and it changes the layout (package kv keeps it,
// package plan says what a change does, and package transition when it is carried out). The others answer what needs no decision and send the rest on to it.
//
// Invariants:
//
//   - What it decides by is not its own: keys and buckets are in the metadata store, the layout is in Consul, and what it
//     says about nodes is what they say at that moment. A node or a service that does not answer within
//     [Config.StatusTimeout] is shown as such and never delays the answer longer.
//   - Its folder holds only what is remembered for people: events with the audit log (package events), and how much there was at a time
//     (package usage). Each instance has its own, and reads are of all together: an instance that does not answer in time is
//     named, and what it has noted is missing. Losing the folder loses history, and nothing else.
//   - A change through the admin API is noted once, by the instance that carries it out, before it is answered, with who asked and without
//     secrets ([Service.Local], audit.go). A log that cannot be written stops no change; the program's log says so.
//   - A secret leaves it only when a key is made or when it is asked for.
//   - The layout is changed only in the term of the active one, and only if nobody else has changed it meanwhile.
//   - The number of a term is higher than those before it. It is the index of the lock plus a base, which Consul keeps beside the lock and which only
//     grows: it is raised, in a transaction tied to the lock, above what a node says that it has obeyed. So it grows also when Consul has
//     lost its data, and who has lost the lock cannot raise it above that of who has it.
//   - When nodes have adopted layouts that Consul has lost, these are put back as the nodes kept them, and none is published before.
//   - A layout stays in force until package transition says that nobody waits for it any more.
//   - What nodes do in the background they do by themselves; it tells them to start, stop or slow down, in the name of its term.
//   - A node that reports counts as present only in the term that has accepted it.
//
// Start reading at [Deps], which is all it works with, and [New]; then at runCluster in active.go for what is done
// with Consul, and at observe in observe.go for what becomes an event.
package rebalancer
