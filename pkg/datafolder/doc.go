// Package datafolder opens a service's data folder: it makes it on first use, locks it against a
// second process, and reads the file garage.json, which says in which format the folder is written and
// to which cluster it belongs.
//
// Invariants: a folder of a newer format than this program knows is refused before anything in it is
// touched; garage.json is complete and durable before the folder is used; the lock lives as long as
// the process and needs no cleaning up after a crash.
//
// Start reading at [Open].
package datafolder
