// Package memory is a metadata store that forgets everything with its process,
// for tests. It is the plainest reading of the contract in package meta, and
// what other implementations are compared with.
//
// One lock guards everything. Start reading at Store.
package memory
