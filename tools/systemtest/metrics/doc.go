// Package metrics tests what Garage tells about itself, on real processes: the metrics are those of nomad/metrics.md, a real Prometheus
// evaluates every expression of the dashboard and of the alerts on them, a request is one trace through all services, and the access
// log is written as described. Prometheus is Debian's, and installed where it is missing.
package metrics
