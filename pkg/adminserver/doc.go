// Package adminserver is the administration port of every Garage program: gRPC and HTTP on one
// address, guarded by one token.
//
//	/healthz         open: 200 when the program can serve, 503 with the reason otherwise
//	grpc.health.v1   open, the same for gRPC
//	/metrics         Prometheus, with the token
//	/debug/pprof     Go's profiles, with the token
//	other pages      with the token (Handle), or open because they guard themselves (HandleOpen)
//	all other gRPC   with the token
//
// The token is sent as "Authorization: Bearer TOKEN", by HTTP clients also as the password of basic
// authentication. It lies in the data folder, readable only by the owner ([Token]).
//
// Invariants: what is not listed as open, here or by [Server.HandleOpen], needs the token, compared in constant time; no gRPC call but
// those of health is open; the token never
// crosses a network in clear: the server refuses to listen beyond loopback without TLS unless it is
// told that something else protects the link, and [Dial] refuses to send it there.
//
// Start reading at [Server.ServeHTTP] for who may do what, and at [Server.Run] for the life cycle.
package adminserver
