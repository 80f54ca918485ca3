// Package chunknode is the service of a machine that stores chunks.
//
// Service composes package disk, which keeps the chunks, and package server,
// which answers other machines; package state holds the decisions of both as
// pure functions. Package heal hands over, repairs and checks what the node
// holds: package tasks runs it, and package adopt knows the layouts and the
// other nodes. Package report tells the active rebalancer how the node is and
// asks it for leave before a planned stop. In one process with the others, Node is called directly.
//
// Invariants: what the service acknowledged is found again after any stop
// (package disk says how); after Run returned, calls are refused. Of two processes with a node's ID, as when its data folder
// was copied, only the one that holds the ID carries out tasks and reports (Deps.Claimed); where Consul is away when a process starts, nobody
// can be asked, and it begins.
package chunknode
