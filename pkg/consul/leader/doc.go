// Package leader decides, by a lock in Consul, which of several instances of a service is the active one, and
// tells the others who it is.
//
// Invariants:
//
//   - The lock is held by a session that ends when its holder no longer refreshes a check of a few seconds, when
//     its machine is gone, when it starts again, or when it gives the lock up; so a holder that is killed is
//     replaced within about ten seconds.
//   - Two may believe for a few seconds that they are active. Each holder has a higher term than all before
//     it, and what must happen only once is tied to the lock (its session, in a transaction) or to the
//     term.
//   - While Consul is away nobody is replaced; a holder that cannot reach it gives up after a while.
//
// Start reading at [Campaign]; [Follow] and [Finder] are for those who look for the active one.
package leader
