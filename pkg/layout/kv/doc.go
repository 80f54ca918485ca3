// Package kv keeps the layout in Consul's key-value store.
//
//	layout/<number>  a published layout with its assignment, never changed once written
//	layout/current   the number of the current layout
//	layout/oldest    the number of the oldest layout in force; without it, the current one is alone
//	layout/lost      the nodes that the operator has given up, in JSON ([Lost])
//	layout/recovered that the current layout was put back after Consul had lost it, in JSON ([Recovered])
//	layout/staged    what the operator wants to change next, in JSON (layout.Change)
//
// Invariants:
//
//   - A layout is published by one transaction that writes its key, sets current, and removes what was staged. Each
//     step is conditional on what the writer has read (compare-and-swap): of two who change the layout
//     at the same time, one wins, and the other is told with kind Conflict and has changed nothing.
//   - Numbers grow by one, and the key of a number is written once, so the history stays.
//   - The layouts from oldest to current are in force: at most layout.MaxActive. Retiring moves oldest up, never down, and never past
//     current; whether one may be retired is for the caller to know.
//   - Layouts that Consul has lost are put back as they were ([Store.Recover]), and never in place of others with the same numbers.
//   - A writer that gives a [Lock] changes something only while it holds it.
//   - Watchers keep the last layouts while Consul is away, and never go back to older ones.
//
// Start reading at [Store]; [Store.Watch] is for those who only follow the layout.
package kv
