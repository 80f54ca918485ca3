// Package scan lists rows that lie in several shards, each ordered by key, in few rounds: in
// a round, any number of statements are asked side by side, and the listing waits for all of
// them. It does no I/O of its own: a Source answers the rounds.
//
// What a listing shows is decided by package listing (Walk over Merge), which runs over what is
// known of the shards so far: per shard, disjoint segments of places, each with all of its
// rows. Where the walk comes to a place that is not known in a shard, a round is planned, and the
// walk goes on.
//
// There are two kinds of rounds (plan.go):
//
//   - Page: every shard is asked for its share of the rows that are still wanted. A listing
//     without a delimiter asks each shard once, seldom twice.
//   - Split, where a common prefix holds so many rows that reading over them costs more than seeking:
//     the gaps between the entries known so far are closed, in all shards at once, and points between them, spread
//     evenly over the bytes that keys use here, are asked of one shard each, to find entries ahead. A guess that
//     finds nothing new makes the next round guess less. Each statement that closes a gap is one that
//     a walk from prefix to prefix needs too, so that only the guesses are additional work, and they are bounded.
//
// A shard that is known to have nothing before a common prefix that another shard has a row of
// needs not be asked for its own: the walk takes the beginning of the prefix in its place.
//
// Invariants:
//
//   - A row that is there, and newest of its key, from before the listing begins until it ends is shown, or
//     its common prefix is, whatever is written meanwhile: each place is covered by one answer
//     of its shard.
//   - A hidden row is not shown and hides the rows of its key below it.
//   - Every round makes known at least the place that the walk waits for.
//
// Start reading at List.
package scan
