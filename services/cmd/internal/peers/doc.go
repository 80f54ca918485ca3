// Package peers is how the programs of a cluster reach each other: the chunk-nodes of the layout, the
// metadata services and the active rebalancer. With Consul they are found there, else they are named in the
// settings.
//
// Invariants: what it opens is closed with the program, unless it says that the caller closes it; an address beyond loopback
// is used only as the program's security allows; while Consul is away at a start, the layout of before serves.
//
// Start reading at [Reach].
package peers
