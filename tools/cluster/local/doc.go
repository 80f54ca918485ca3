// Package local runs a whole Garage cluster on this machine as an operator runs it on many: Nomad runs the services from the
// job files of nomad/, Consul knows them, the metadata is in Cassandra, people are in LDAP and S3 is behind Traefik.
//
// A [Cluster] is a data folder. Node i has the address 127.0.0.1i, a Consul agent and a Nomad client of its own, and a host volume
// for its chunk-node at chunk-node-i in the data folder. The parts are those of package parts, in the folder stack. All ports move by
// one offset, so that several clusters run side by side.
//
// Invariants: [Cluster.Up] may be repeated, and changes only what differs from what was asked; [Cluster.Down] stops everything and
// keeps the data; nothing listens beyond loopback; only processes of this data folder are stopped.
//
// Start reading at [Cluster.Up].
package local
