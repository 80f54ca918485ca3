// Package model compares the service with a model of what S3's operations mean.
//
// Two suites: random operations one after the other, each answer compared in full with a model that keeps everything in a map
// (TestRandomOperations); and random operations side by side, whose histories must be linearizable for each key
// (TestConcurrentHistories, see package load). Both are a function of a seed, which a failure prints and -seed sets.
package model
