// Package clients runs the programs and libraries that people use with S3 on real files, and compares what comes back.
//
// The programs are those of package tools/clients, which installs them. The trees they carry are Go's own sources, which every machine
// that builds Garage has, with files of awkward names and a gigabyte of random bytes added.
package clients
