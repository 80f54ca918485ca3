// Package move is the standalone's side of moving into a cluster (garage migrate; package services/metadata/migrate is the
// other side and has the whole picture): who migrates reads metadata and chunks here, holds writes back for the cut-over, and
// then has requests forwarded.
//
// Invariants:
//
//   - Once Leave has answered, no write is taken any more, also after a crash: that is durable before the answer.
//   - Leave is refused unless writes were held back without a gap since those that were under way had ended.
//   - It leaves to one cluster only, and forwards to that one.
//   - Who goes on with a hold waits for no write, and holds none up: only who begins to hold writes back waits for those under way.
//   - Writes are held back no longer than the lease says, if nobody renews it.
//   - A request is forwarded only when the cluster has keys and rights too; until then it is answered 503, which clients repeat.
//
// Start reading at [Gate].
package move
