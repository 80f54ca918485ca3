// Package deploy starts Garage for tests and benchmarks in each form it can be deployed in, and lets them hurt it.
//
// A [Deployment] is a set of operating system processes on loopback with a data folder of its own. The suites know only this
// type, so that each suite runs on every deployment: standalone (one process), nodes (gateway, metadata, rebalancer and three
// chunk-nodes as separate processes), cluster (the same on Nomad, Consul, Cassandra and LDAP, behind Traefik), or an endpoint
// that is not ours (only for suites that need no process).
//
// Invariants: only processes started here are stopped, by their process id; every wait has a deadline; a deployment that is
// closed leaves no process behind. Start reading at [Start].
package deploy
