// Package consul runs the four programs as separate processes that find each other through a real Consul, with
// certificates of its authority between them and metadata in a real Cassandra, and takes away from them what they can
// do without while a load runs: Consul killed, paused and started again, a metadata service killed and another stopped, the
// authority replaced. None of it may cost a request, and the history of all requests is checked.
//
// The tests have the build tag stack: run them under "stack run consul cassandra -- go test -tags stack …".
package consul
