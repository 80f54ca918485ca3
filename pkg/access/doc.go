// Package access decides what somebody may do with a bucket, and says why. Gateways decide with it ([Rights], [Need.Allows]), and the admin API
// explains with it ([Explain]); there is no other place that decides.
//
// Invariants: what no right allows is refused; on a closed bucket nobody has rights; who does not sign has no rights; the decision is pure, and deciding allocates nothing.
//
// Start reading at [Rights].
package access
