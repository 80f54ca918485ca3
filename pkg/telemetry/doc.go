// Package telemetry is how Garage's programs tell what they do: structured logs, a request ID that
// follows a request from service to service, and Prometheus metrics.
//
// Invariants: a log line written with a request's context carries its request ID; the ID travels in
// gRPC metadata and is made where the request enters the cluster; labels of metrics come from small
// fixed sets (services, methods, status codes), never from what clients send.
//
// Start reading at [NewLogger], [WithRequestID] and [NewRegistry].
package telemetry
