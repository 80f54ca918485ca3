// Package membership says which chunk-nodes there are, reaches them, and makes a chunk store of them.
//
// A layout comes from a file ([Config]), or is published in Consul while services run, or comes from a node that
// refused a request because it has adopted a newer one ([Members.CatchUp]); each is handed to [Members.Apply],
// which makes a client for each node and gives every [Chunks] a store over them. Until
// the first layout, Chunks answer Unavailable and say what the operator is to do; when a layout follows
// another, operations that have begun end on the store they began on, which is closed when the last of them has
// ended, and so are the clients of nodes that are gone. An operation that a node refused is made again with the newer layouts,
// and made four times at most.
//
// Start reading at [Members].
package membership
