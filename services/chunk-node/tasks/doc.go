// Package tasks runs what a chunk-node does beside what clients ask for: each [chunk.Task] is a [Job], which a [Runner] calls
// again and again, starts, stops and limits as the operator says, and reports on.
//
// Invariants:
//
//   - One pass of a job runs at a time. A command to stop ends it, and none begins until the command to start.
//   - What the operator commanded is durable before it is answered, and holds after a restart: a round that was asked for is asked
//     for until it has ended.
//   - A command of a term that is over is refused, also after a restart.
//   - A job that fails is not given up: it is Stuck, says why, and its next pass comes after a pause that grows.
//   - No lock is held while a job works or anything waits, so that a simulation can run the passes one by one ([Runner.Step]).
//
// Start reading at Job and Runner.
package tasks
