// Package faults hurts single processes of a deployment of separate ones: a chunk-node killed or paused under a load fails no
// request; a blob corrupted on disk is served right and repaired; with two of three chunk-nodes away, writes are refused within
// their deadline and reads of what has all three copies go on; and all is well again when they return.
package faults
