// Package listing decides what a listing of ordered rows shows: which keys,
// which common prefixes, where to seek next and where the next page begins. It
// does no I/O of its own; a store gives it an Iterator over its rows, or Merge
// over the iterators of several shards.
//
// A listing is a sequence of entries, keys and common prefixes, in the order of
// their bytes. A key that has the delimiter behind the prefix is shown as the
// common prefix that ends with the first such delimiter, once. A page is the
// entries above After, so pages put together are the whole listing.
//
// The cost follows the entries: a common prefix costs at most a few rows and a
// seek, whatever the number of keys in it.
//
// Start reading at Walk.
package listing
