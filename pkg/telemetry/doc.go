// Package telemetry is how Garage's programs tell what they do: structured logs, a request ID that
// follows a request from service to service, Prometheus metrics, and OpenTelemetry traces.
//
// Invariants: a log line written with a request's context carries its request ID; the ID travels in
// gRPC metadata and is made where the request enters the cluster; labels of metrics come from small
// fixed sets (services, methods, status codes), never from what clients send; traces begin where a request enters the cluster, and
// where nobody asked for them a span costs a look at the context. Every metric is described in nomad/metrics.md, which a test compares
// with what programs expose.
//
// Start reading at [NewLogger], [WithRequestID], [NewRegistry] and [StartSpan].
package telemetry
