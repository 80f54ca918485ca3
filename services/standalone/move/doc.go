// Package move is the standalone's side of moving into a cluster (garage migrate; package services/metadata/migrate is the
// other side and has the whole picture): who migrates reads metadata and chunks here, holds writes back for the cut-over, and
// then has requests forwarded.
//
// Invariants:
//
//   - Once Leave has answered, no write is taken any more, also after a crash: that is durable before the answer.
//   - Leave is refused unless writes were held back without a gap since the hold began.
//   - Writes are held back no longer than the lease says, if nobody renews it.
//   - A request is forwarded only when the cluster has keys and rights too; until then it is answered 503, which clients repeat.
//
// Start reading at [Gate].
package move
