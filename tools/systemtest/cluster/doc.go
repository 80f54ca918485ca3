// Package cluster is about a whole cluster: what Nomad, Consul, Cassandra and Traefik do to requests when they change, restart or take
// away a part, and what clients meet at Traefik.
//
// All tests share one cluster. Those that hurt it run one after the other; those that take minutes and hurt nobody run side by side
// after them. What a test changes, it changes back, or leaves in a state that the others do not mind.
package cluster
