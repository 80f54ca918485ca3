package console

import (
	"fmt"
	"strings"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// Level is how much a verdict should worry the operator.
type Level string

// The levels, in rising order.
const (
	Good      Level = "good"
	Attention Level = "attention"
	Danger    Level = "danger"
	Unknown   Level = "unknown"
)

// Verdict answers the question whether the data is safe.
type Verdict struct {
	Level    Level    `json:"level"`
	Sentence string   `json:"sentence"`
	Reasons  []string `json:"reasons"` // what the operator should look at, the worst first
}

const untold = "It is not known how your data is: the cluster does not tell."

func unknown(err error) Verdict {
	return Verdict{Level: Unknown, Sentence: untold, Reasons: []string{err.Error()}}
}

// Judge answers the question from the status and, where they are known (else nil), the partitions. It promises all copies only where
// the partitions are known and every node was asked that may lack something.
func Judge(s *adminv1.GetStatusResponse, p *adminv1.GetPartitionsResponse) Verdict {
	j := judgement{Verdict: Verdict{Level: Good, Reasons: []string{}}}
	j.nodes(s)
	j.services(s)
	if s.GetProblem() != "" {
		j.add(Attention, "%s", s.GetProblem())
	}
	for _, problem := range p.GetProblems() {
		j.add(Attention, "It is not known what a node lacks: %s", problem)
	}
	copies, known := s.GetReplication(), len(p.GetPartitions()) > 0
	unreadable, withoutCopy, fewer, moving := states(p)
	switch {
	case s.GetLayout() == 0 && s.GetProblem() != "": // who cannot ask for the layout does not know that there is none
		j.say(Unknown, "%s", untold)
	case s.GetLayout() == 0:
		j.say(Attention, "Nothing can be stored yet: no layout is in force.")
	case unreadable > 0:
		j.say(Danger, "Some of your data cannot be read now: %s no node that answers.", partitionsHave(unreadable))
	case j.lost > 0 && uint32(j.lost) >= copies && !known:
		j.say(Danger, "Some of your data may not be readable now: %s not there.", isAre(j.lost, "node"))
	case fewer > 0 && copies == 1:
		j.say(Danger, "Chunks are missing in %s of 4096, and there is no other copy of them.", count(fewer, "partition"))
	case withoutCopy > 0 && (j.lost > 0 || j.unsure):
		j.say(Danger, "Some of your data may not be readable now: %s no node that answers and has all of it.", partitionsHave(withoutCopy))
	case withoutCopy > 0:
		j.say(Attention, "It is not known whether all your data can be read: %s no node that has all of it.", partitionsHave(withoutCopy))
	case fewer > 0:
		j.say(Attention, "All your data can be read, but %s fewer than %d good copies.", partitionsHave(fewer), copies)
	case j.lost > 0 || j.wanted > 0 || j.unsure:
		j.say(Attention, "Your data can be read, but it has fewer than %d good copies in places.", copies)
	case !known && copies == 1:
		j.say(Unknown, "It is not known whether all your data has a good copy.")
	case !known:
		j.say(Unknown, "It is not known whether all your data has %d good copies.", copies)
	case len(p.GetProblems()) > 0:
		j.say(Attention, "It is not known whether all your data has its good copies: not every node tells what it lacks.")
	case copies == 1:
		j.say(Good, "Your data is intact. It is in one copy: if its disk is lost, so is the data.")
	case moving > 0 || s.GetOldestLayout() < s.GetLayout():
		j.say(Good, "Yes, your data is safe: all of it has %d good copies, and some of them are on their way to other nodes.", copies)
	case j.Level != Good:
		j.say(Attention, "Yes, all your data has %d good copies, but something needs your attention.", copies)
	default:
		j.say(Good, "Yes, your data is safe: all of it has %d good copies.", copies)
	}
	return j.Verdict
}

// judgement is a verdict that is being made.
type judgement struct {
	Verdict
	lost   int   // nodes that should be there and are not
	wanted int64 // chunks without a good copy at a node
	unsure bool  // a node has not compared what it holds with others yet
}

func (j *judgement) say(l Level, format string, args ...any) {
	j.Sentence = fmt.Sprintf(format, args...)
	j.raise(l)
}

func (j *judgement) add(l Level, format string, args ...any) {
	j.Reasons = append(j.Reasons, fmt.Sprintf(format, args...))
	j.raise(l)
}

func (j *judgement) raise(l Level) {
	if l == Danger || l == Unknown || l == Attention && j.Level == Good {
		j.Level = l
	}
}

func (j *judgement) nodes(s *adminv1.GetStatusResponse) {
	for _, n := range s.GetNodes() {
		name := nameOf(n)
		switch {
		case !n.GetAlive() && (n.GetPartitions() > 0 || n.GetState() == adminv1.NodeState_NODE_STATE_MISSING):
			j.lost++
			j.add(Attention, "Node %s is missing%s", name, because(n.GetProblem()))
		case n.GetReadOnly():
			j.add(Attention, "Node %s takes no more data%s", name, because(n.GetProblem()))
		case n.GetProblem() != "":
			j.add(Attention, "Node %s: %s", name, n.GetProblem())
		}
		for _, d := range n.GetDisks() {
			if d.GetFailed() != "" {
				j.add(Attention, "Disk %s of node %s is out of use: %s", d.GetPath(), name, d.GetFailed())
			}
		}
		if n.GetUncompared() {
			j.unsure = true
			j.add(Attention, "Node %s began with an empty disk, and is still comparing with other nodes which copies it lacks", name)
		}
		if n.GetWanted() > 0 {
			j.wanted += n.GetWanted()
			j.add(Attention, "Node %s lacks a good copy of %s, and looks for it elsewhere", name, count(int(n.GetWanted()), "chunk"))
		}
	}
}

func (j *judgement) services(s *adminv1.GetStatusResponse) {
	for _, one := range s.GetServices() {
		if !one.GetHealthy() {
			j.add(Attention, "Service %s %s cannot serve%s", one.GetName(), one.GetAddress(), because(one.GetProblem()))
		}
	}
}

// states counts the partitions that cannot be read, those with too few copies and, among them, with none that is surely good, and those that move.
func states(p *adminv1.GetPartitionsResponse) (unreadable, withoutCopy, fewer, moving int) {
	for _, one := range p.GetPartitions() {
		switch one.GetState() {
		case adminv1.PartitionState_PARTITION_STATE_UNREADABLE:
			unreadable++
		case adminv1.PartitionState_PARTITION_STATE_UNDER_REPLICATED:
			if fewer++; one.GetCopies() == 0 {
				withoutCopy++
			}
		case adminv1.PartitionState_PARTITION_STATE_MOVING:
			moving++
		}
	}
	return unreadable, withoutCopy, fewer, moving
}

// nameOf is what people call a node.
func nameOf(n *adminv1.Node) string {
	short := n.GetId()[:min(8, len(n.GetId()))]
	if n.GetMachine() != "" {
		return n.GetMachine() + " (" + short + ")"
	}
	return short
}

func because(problem string) string {
	if problem == "" {
		return ""
	}
	return ": " + strings.TrimSuffix(problem, ".")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func isAre(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return fmt.Sprintf("%d %ss are", n, what)
}

// partitionsHave begins a sentence about some of all partitions.
func partitionsHave(n int) string {
	if n == 1 {
		return "1 partition of 4096 has"
	}
	return fmt.Sprintf("%d partitions of 4096 have", n)
}
