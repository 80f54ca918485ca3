// Package layout decides which nodes own which chunks.
//
// A Layout is what the operator wants: nodes, each with a zone, a capacity and
// a number of tokens, and how many copies to keep. Every node puts its tokens
// on a ring; walking the ring from a partition gives the order in which that
// partition prefers the nodes (Ring.Walk). Assign turns a layout, and what was
// assigned before it, into an Assignment: the owners of each of the 4096
// partitions, nearest in the walk first.
//
// What Assign promises:
//
//   - Every partition has as many distinct owners as the layout keeps copies,
//     in as many zones as the layout has, up to that number.
//   - The unit of capacity is a slot: room for one copy of one partition. All
//     slots are equally large, and as large as the nodes and zones allow, so
//     no assignment of whole partitions can hold more data.
//   - Among the assignments with such slots, it takes the one that gives nodes
//     the fewest partitions they did not own before, and among these the one
//     that follows the walks best. It is one minimum-cost flow, solved exactly.
//   - It is a pure function: the same previous assignment and the same layout
//     give the same answer on every machine, in whatever order the nodes are
//     written down.
//
// Slots are whole, so each node loses half a slot on average, against what
// could be used if partitions could be split at will. Where n nodes share the
// 4096 slots of one copy that is n/8192: below 1 % up to 80 nodes for each copy, and
// never anything on three nodes of one size.
//
// Start reading at Layout, then Assign, then the flow in flow.go. ReadFile
// reads a layout that is not changed while services run. Nothing here does
// I/O (but ReadFile), waits, or knows the time.
package layout
