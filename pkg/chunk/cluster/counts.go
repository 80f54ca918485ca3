package cluster

import "sync/atomic"

type counters struct {
	second, hedged, won, bad, repaired, owed, forgotten, fed, stoodIn atomic.Int64
}

// Counts is what a store did that is not in the number of its calls.
type Counts struct {
	SecondAsked int64 // reads that asked another node, because the first was slow or failed
	Hedged      int64 // of these, those that did not wait for the first to end
	HedgesWon   int64 // of these, those that brought the answer
	BadCopies   int64 // found by reads
	Repaired    int64 // of these
	Owed        int64 // requests to record that an owner lacks a chunk
	Forgotten   int64 // owners that lack a chunk, with nobody to record it
	Fed         int64 // chunks copied from one owner to another for PutRef
	StoodIn     int64 // requests to a node to stand in for an owner that is away
	Late        int64 // writes that go on after their answer now
	LateBytes   int64 // and the bytes they hold now
}

// Counts returns the numbers since the store was made.
func (s *Store) Counts() Counts {
	return Counts{
		SecondAsked: s.counts.second.Load(),
		Hedged:      s.counts.hedged.Load(),
		HedgesWon:   s.counts.won.Load(),
		BadCopies:   s.counts.bad.Load(),
		Repaired:    s.counts.repaired.Load(),
		Owed:        s.counts.owed.Load(),
		Forgotten:   s.counts.forgotten.Load(),
		Fed:         s.counts.fed.Load(),
		StoodIn:     s.counts.stoodIn.Load(),
		Late:        s.late.Load(),
		LateBytes:   s.bytes.Load(),
	}
}
