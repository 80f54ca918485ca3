// Package operator tests what the person who runs Garage relies on: "make run" and "make run-nodes", the data folder and the files in
// it, the administration server, certificates, settings and their errors, and keys made by the command line.
package operator
