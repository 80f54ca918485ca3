// Package buffer holds the bytes of bodies on their way through a process.
//
// A Pool bounds the memory of a process. Bytes arrive in segments of 64 KiB,
// taken one at a time as the bytes come, so that a slow client holds little.
// Whoever holds segments does so through an Account (one per request or
// connection); no account may hold more than a quarter of the pool, and when
// the pool is short the slowest account is evicted: its next call fails with
// kind Overloaded.
//
// A Buffer is a list of segments with a reference count. It is filled by one
// goroutine; once filled it is read-only and may be shared by any number of
// readers, each holding a reference (Retain, Release). The last Release gives
// the segments back.
package buffer
