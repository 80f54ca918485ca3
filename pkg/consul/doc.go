// Package consul is how Garage's programs live with Consul: they register there ([Registration]), find each
// other ([Watch], [Client.Builder]), take the identity of their cluster from it ([Client.ClusterID]) and,
// where services speak TLS, their certificates ([Certificates]). A second live process of a chunk-node is refused
// (claim.go). What the database's weekly repair leaves in Consul is read by [Client.DatabaseRepairs].
//
// How to reach Consul (address, token, TLS, namespace) is said by Consul's own environment variables,
// CONSUL_HTTP_ADDR and the others; [Config] holds only what Consul cannot know.
//
// Invariants:
//   - Consul is never asked on the way of a request: what it says is watched by blocking queries and kept, so
//     that a Consul that is away, hangs, or returns without its data costs no request. While it is away the
//     last view serves, the log says so once, and the metric garage_consul_up is 0;
//   - a view without any instance replaces none that had some, and a node that vanished keeps its last address:
//     a connection to who is gone costs nothing, and a Consul that lost its data is told everything again by
//     the programs within [refreshInterval];
//   - the outputs of checks and the metadata of services are short and change rarely: each change is a write
//     of Consul's log that wakes every watcher;
//   - certificates prove as much as Consul's access rules do: [Certificates] warns where who has no token gets them.
//     Besides, an agent (as of Consul 1.22) hands a certificate that it has issued once to whoever asks its HTTP
//     API for it, whatever the token, so that only programs that may act as any service of that machine may reach it;
//   - all goroutines end with [Client.Close].
//
// Start reading at [Client.Follow], the one loop of blocking queries, then [Client.Watch] and [Registration.Run].
package consul
