// Package diagnose measures what only a program itself can see: its clock, its folders and how fast they sync, its file descriptors,
// what it can reach, and its certificates. It judges nothing: the operator's doctor (services/cmd/garage/doctor) does.
//
// Invariants: an answer takes [Timeout] at most, and what was not measured in that time is said; one is made at a time, so that being asked
// often costs no more; the file that syncs are measured with has no name, so that a crash leaves nothing.
//
// Start reading at [Program].
package diagnose
