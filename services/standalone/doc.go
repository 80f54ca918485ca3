// Package standalone is Garage in one process: the four services on one data folder, calling each other
// directly, with one copy of everything.
//
// It only composes. Start reading at Build.
package standalone
