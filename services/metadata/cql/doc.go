// Package cql keeps metadata in a CQL database: ScyllaDB or Apache Cassandra.
package cql
