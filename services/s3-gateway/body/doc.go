// Package body moves the bytes of objects between requests and the chunk store: the data path of the gateway.
//
// Start reading at Store.Write (a body that arrives), Store.Open (a body that is sent) and Store.Copy.
//
// What writes:
//
//   - Bytes are read from the socket straight into pooled segments and never copied again here. A chunk, once
//     full, is handed to the hash stages and to the chunk store side by side, several chunks at a time.
//   - The attempt is recorded while the first chunk arrives, chunk rows in batches, progress every 30 seconds.
//     The last rows are left to the caller, who commits them together with the object or part.
//   - A body up to the inline threshold is handed back whole; nothing is recorded for it.
//   - Whatever fails, nothing is visible: the chunks that may have been stored are recorded and the upload is
//     aborted, with a context of its own, so that the sweeper collects them.
//
// What reads:
//
//   - The first chunk is asked for at once, together with the list of the others. After it, chunks are read ahead: one when the
//     reader is slower than the store, more when it has to wait, fewer when memory is short.
//   - Only the chunks that a range touches are read.
//
// Memory is bounded by the pool for what arrives and by the windows for what is sent.
package body
