// Command garage runs Garage in one process (garage standalone), or as separate processes on one
// machine (garage nodes), and is the operator's command line: keys, buckets, rights and status of a
// running server, over its admin API.
//
// Start reading at newRoot; each resource has a file of its own, and connection.go finds the server and
// its token.
package main
