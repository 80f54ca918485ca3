// Package metricstest compares what programs count with the tables of nomad/metrics.md, where operators read of it. What every deployment has
// is compared as real processes tell it (tools/systemtest/metrics); what only some have, by [Check] beside the code that counts.
package metricstest
