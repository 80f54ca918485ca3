// Package crash kills every process of a deployment with SIGKILL under a load, starts it again on the same data and compares
// every acknowledged object: what was acknowledged is there with its bytes, what was refused is not, what got no answer is
// either way, and never half.
package crash
