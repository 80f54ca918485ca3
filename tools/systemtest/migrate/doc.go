// Package migrate moves a standalone Garage into a cluster of separate processes, with the build tag stack one whose metadata is on
// Cassandra, while a load reads and writes, kills the migration on its way, and looks at everything afterwards: what was
// acknowledged is in the cluster, byte for byte and with all that is said about it, and clients that still use the old address
// did not notice more than a moment of SlowDown.
package migrate
