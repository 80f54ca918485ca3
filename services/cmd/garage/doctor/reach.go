package doctor

import (
	"slices"
	"strings"
	"time"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// slowLink is when reaching another part takes long.
const slowLink = time.Second

// reachability looks whether every part answers and reaches what it needs. What others do not reach since it is away is said once.
func reachability(f *Facts, found add) {
	for _, why := range f.Failed {
		found(Error, "", "look whether the server runs, and at its log", "%s", why)
	}
	if p := f.Status.GetProblem(); p != "" {
		found(Error, "", "the message says what to do; if it is about a service, look at its log", "%s", p)
	}
	// away are the IDs and addresses of what was said to be away, and spare those of nodes that no layout has.
	var away, spare []string
	for _, n := range f.Status.GetNodes() {
		if !n.GetAlive() && n.GetState() != adminv1.NodeState_NODE_STATE_UNSPECIFIED || f.Layout == nil && !n.GetAlive() {
			away = append(away, n.GetId())
			found(Error, "chunk-node "+n.GetId(), "start it, and look at its log and its network; if it will not come back: garage layout lost, then garage layout remove",
				"it is away: %s", orUnknown(n.GetProblem()))
		} else if !n.GetAlive() {
			spare = append(spare, n.GetId())
		}
	}
	for _, s := range f.Status.GetServices() {
		if !s.GetHealthy() {
			away = append(away, s.GetAddress())
			found(Error, strings.TrimSpace(s.GetName()+" "+s.GetAddress()), "start it, and look at its log", "it does not serve: %s", orUnknown(s.GetProblem()))
		}
	}
	for _, p := range f.Parts {
		switch {
		case p.GetProblem() == "":
			links(p, away, found)
		case slices.Contains(away, p.GetNodeId()), p.GetAddress() != "" && slices.Contains(away, p.GetAddress()): // said already
		case slices.Contains(spare, p.GetNodeId()): // nobody needs it
		case p.GetService() == "s3-gateway":
			found(Note, nameOf(p), "make its administration port reachable, or run garage doctor on its machine", "it could not be examined: %s", p.GetProblem())
		default:
			found(Error, nameOf(p), "look whether it runs, at its log, and at the network between it and the rebalancer", "it does not answer: %s", p.GetProblem())
		}
	}
}

func links(p *adminv1.Part, away []string, found add) {
	for _, l := range p.GetDiagnosis().GetLinks() {
		peer := strings.TrimSpace(l.GetName() + " " + l.GetPeer())
		switch {
		case l.GetProblem() != "" && slices.Contains(away, l.GetPeer()): // nobody reaches what is away
		case l.GetProblem() != "":
			found(Error, nameOf(p), adviceFor[l.GetName()], "it does not reach %s: %s", peer, l.GetProblem())
		case l.GetTook().AsDuration() > slowLink:
			found(Warning, nameOf(p), "look at the network between them, and at how busy both machines are", "%s took %v to answer", peer, l.GetTook().AsDuration().Round(time.Millisecond))
		}
	}
}

// adviceFor is what to do where a part of that name is not reached.
var adviceFor = map[string]string{
	"consul":     "look at Consul's agent on that machine (consul members, consul operator raft list-peers), and at CONSUL_HTTP_ADDR and CONSUL_HTTP_TOKEN of the program",
	"metadata":   "look whether a metadata service runs and serves, and at the network",
	"database":   "look at the database's nodes (nodetool status): a quorum of them must answer",
	"ldap":       "look at the directory and at the settings identity.ldap; until then people cannot sign requests",
	"chunk-node": "look at the network between them and at their certificates: writes and reads go to other nodes meanwhile",
	"rebalancer": "look at the network, and whether a rebalancer is active: garage status",
}

func orUnknown(why string) string {
	if why == "" {
		return "nothing else is known"
	}
	return why
}
