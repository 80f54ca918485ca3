package quorum

import "fmt"

// Do is what an Action asks for.
type Do uint8

// The actions. Nodes are numbers below the number of nodes the machine was made with.
const (
	// Send asks a write to be sent to Node, or to who stands in for it; tell Replied.
	Send Do = iota
	// Feed asks the bytes to be read from any node that has them and put,
	// with the reference, on Node, or on who stands in for it; tell Replied.
	Feed
	// Ask asks Node for the bytes; tell Replied.
	Ask
	// Cancel gives up the call to Node; its outcome no longer matters.
	Cancel
	// Owe asks By, or who stands in for it, to record that Node lacks the write; tell Owed.
	Owe
	// Forget says that no owner recorded what Node lacks: say it aloud.
	Forget
	// Repair asks the bytes of the answer to be sent to Node, whose copy is bad.
	Repair
	// Answer gives the caller the Result; it comes once.
	Answer
	// Finish says that nothing is left to do; it comes once, and last.
	Finish
)

var doNames = [...]string{"send", "feed", "ask", "cancel", "owe", "forget", "repair", "answer", "finish"}

func (d Do) String() string { return doNames[d] }

// Result is what the caller is told.
type Result uint8

// The results.
const (
	Acknowledged Result = iota // a write that a majority of the owners, or of those who stand in for them, has durably
	Gone                       // a write whose reference was removed before
	SendData                   // a reference to bytes that no owner has
	Found                      // a read: the bytes are those that Node gave
	NotFound                   // a read: every owner and every other node alive said so
	Corrupted                  // a read: there are only bad copies
	Unavailable                // too few nodes answered, or none in time
)

var resultNames = [...]string{"acknowledged", "gone", "send data", "found", "not found", "corrupted", "unavailable"}

func (r Result) String() string { return resultNames[r] }

// Action is one thing to do.
type Action struct {
	Do      Do
	Node    int
	StandIn int    // Send, Feed: which of the stand-ins takes it for Node, from 1; 0: Node itself
	By      int    // Owe: who records it
	Result  Result // Answer
}

func (a Action) String() string {
	switch a.Do {
	case Owe:
		return fmt.Sprintf("owe %d by %d", a.Node, a.By)
	case Answer:
		if a.Result == Found {
			return fmt.Sprintf("answer found at %d", a.Node)
		}
		return "answer " + a.Result.String()
	case Finish:
		return "finish"
	}
	if a.StandIn > 0 {
		return fmt.Sprintf("%v stand-in %d for %d", a.Do, a.StandIn, a.Node)
	}
	return fmt.Sprintf("%v %d", a.Do, a.Node)
}

// Outcome is how a call to a node ended.
type Outcome uint8

// The outcomes.
const (
	OK       Outcome = iota // a write is durable there; a read brought the bytes
	Removed                 // a write: the reference was removed before
	Missing                 // a write of a reference: the bytes are not there; a read: not found
	Bad                     // a read: the copy is corrupted
	Failed                  // no answer, or one that another try may change
	Refused                 // an answer that another try will not change
	Silent                  // a write: no answer, as of a node that is away
	Outdated                // a write: refused, and only a write by a newer layout will change that
)

var outcomeNames = [...]string{"ok", "removed", "missing", "bad", "failed", "refused", "silent", "outdated"}

func (o Outcome) String() string { return outcomeNames[o] }

// Majority is the least number of n owners that overlaps with every other such number.
func Majority(n int) int { return n/2 + 1 }
