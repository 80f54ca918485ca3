// Command bench measures speed and cost: operations a second, latency, CPU and memory of the server, for each size and number of
// clients, and prints a table.
//
//	go run ./tools/bench                                        # standalone, fsync on: every row
//	go run ./tools/bench --target standalone,standalone-nosync,nodes --row put-1MiB --clients 8
//	go run ./tools/bench --wan                                  # three sites 100 ms apart: round trips of PUT and GET
//	go run ./tools/bench --heal                                 # bytes, processor time and latency of changes of the layout; of a scrub and a repair
//	go run ./tools/bench --chunks 1000000                       # memory of a chunk-node, and the time until it serves after kill -9
//	go run ./tools/bench --endpoint other=http://127.0.0.1:9000,ACCESS,SECRET,REGION,PID+PID
//
// All targets are measured in one run, in alternation, because rates on one machine differ from minute to minute. CPU is user and
// system time of all server processes, read from /proc; the client is left out of it, though it shares the machine. Every body differs
// from every other and does not compress, but for the row of equal bodies. Every cell is bounded in time and in operations.
//
// The column "way" says where a body of that size goes by default: inline with the metadata, in the index of the chunk-node, or a file.
//
// The client (conn.go) writes requests on its own connections: a library would cost more CPU than some servers.
// Start reading at main.go.
package main
