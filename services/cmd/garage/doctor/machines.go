package doctor

import (
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	clockApart, clockFar = 500 * time.Millisecond, 5 * time.Second

	expiresSoon, expiresNow = 21 * 24 * time.Hour, 3 * 24 * time.Hour
	// renewedLate is when a certificate that a program renews by itself should have been.
	renewedLate = 2 * time.Hour

	filesLeast = 4096
	filesShare = 0.8

	// repairDue is when the database's weekly repair is late, and repairLate when what was deleted may come back (gc_grace).
	repairDue, repairLate = 8 * 24 * time.Hour, 10 * 24 * time.Hour
)

// clocks looks how far they are apart, as far as that is certain.
func clocks(f *Facts, found add) {
	for _, p := range f.Parts {
		if p.GetDiagnosis() == nil {
			continue
		}
		ahead, wrong := p.GetClock().AsDuration(), p.GetClockError().AsDuration()
		side := "ahead of"
		if ahead < 0 {
			side = "behind"
		}
		level := Warning
		switch apart := ahead.Abs() - wrong; {
		case apart < clockApart:
			continue
		case apart >= clockFar:
			level = Error
		}
		found(level, nameOf(p), "set the clocks by the network on every machine (chrony, systemd-timesyncd), and look at: chronyc tracking",
			"its clock is %v %s the rebalancer's, give or take %v", ahead.Abs().Round(time.Millisecond), side, wrong.Round(time.Millisecond))
	}
}

// certificates looks at when they expire.
func certificates(f *Facts, found add) {
	for _, p := range f.Parts {
		for _, c := range p.GetDiagnosis().GetCertificates() {
			expires := c.GetExpires().AsTime()
			left, subject := expires.Sub(f.Now), nameOf(p)+", "+c.GetName()
			at := expires.UTC().Format(time.RFC3339)
			switch {
			case expires.Year() < 1980:
				found(Error, subject, "look at the files that the setting names, and their rights", "the certificate cannot be read")
			case left <= 0:
				found(Error, subject, renewal(c.GetRenewed()), "the certificate expired at %s", at)
			case c.GetRenewed() && left < renewedLate:
				found(Error, subject, renewal(true), "the certificate expires at %s, and should have been renewed before", at)
			case c.GetRenewed():
			case left < expiresNow:
				found(Error, subject, renewal(false), "the certificate expires at %s", at)
			case left < expiresSoon:
				found(Warning, subject, renewal(false), "the certificate expires at %s", at)
			}
		}
	}
}

func renewal(byItself bool) string {
	if byItself {
		return "the program renews it through Consul: look at its log, and at Consul's agent and authority"
	}
	return "renew it and put the files in the place of the old ones: the program takes them without a restart"
}

// access looks whether certificates of Consul prove anything.
func access(f *Facts, found add) {
	said := false
	for _, p := range f.Parts {
		for _, s := range p.GetDiagnosis().GetSettings() {
			if s.GetName() != "consul.acl" || said {
				continue
			}
			switch {
			case s.GetValue() == "allow":
				said = true
				found(Warning, nameOf(p), "set acl.enabled and acl.default_policy = \"deny\" on Consul's servers, and give each program a token",
					"Consul gives the certificate of a service to anybody who asks: it proves nothing about who calls")
			case s.GetProblem() != "":
				said = true
				found(Note, nameOf(p), "look at acl.default_policy on Consul's servers", "whether Consul denies by default could not be seen: %s", s.GetProblem())
			}
		}
	}
}

// database looks whether what it acknowledges is durable, and what was deleted stays so.
func database(f *Facts, found add) {
	said := map[string]bool{}
	for _, p := range f.Parts {
		for _, s := range p.GetDiagnosis().GetSettings() {
			if s.GetName() != "database.commitlog_sync" || said[s.GetValue()] {
				continue
			}
			said[s.GetValue()] = true
			switch {
			case s.GetProblem() != "":
				found(Note, nameOf(p), "look at commitlog_sync in cassandra.yaml or scylla.yaml: it must be batch or group", "how the database syncs its commit log could not be seen: %s", s.GetProblem())
			case strings.Contains(s.GetValue(), "periodic"):
				found(Error, nameOf(p), "set commitlog_sync: batch (or group) in cassandra.yaml or scylla.yaml on every node of the database, and restart them one after the other",
					"the database acknowledges before it syncs (commitlog_sync: %s): a power cut loses what clients were told is stored", s.GetValue())
			}
		}
	}
	for _, m := range f.Status.GetDatabase() {
		advice := "look at the periodic job that repairs it, and run it now (nomad job periodic force), or: nodetool repair"
		if m.GetRepaired() == nil {
			found(Warning, "database on "+m.GetMachine(), advice, "it was never repaired")
			continue
		}
		age, level := f.Now.Sub(m.GetRepaired().AsTime()), Warning
		if age < repairDue {
			continue
		}
		if age >= repairLate {
			level = Error
		}
		found(level, "database on "+m.GetMachine(), advice, "it was last repaired %d days ago: after 10, what was deleted may come back", int(age.Hours()/24))
	}
}

// openFiles looks whether programs may open enough files.
func openFiles(f *Facts, found add) {
	const advice = "raise the limit: LimitNOFILE= of its systemd unit, or ulimit -n"
	for _, p := range f.Parts {
		open, most := p.GetDiagnosis().GetOpenFiles(), p.GetDiagnosis().GetMaxFiles()
		switch {
		case most <= 0: // not known
		case float64(open) > filesShare*float64(most):
			found(Error, nameOf(p), advice, "it has %d files open and may open %d: soon it accepts no connection", open, most)
		case most < filesLeast:
			found(Warning, nameOf(p), advice, "it may open %d files and connections, and %d is the least that is sensible", most, filesLeast)
		}
	}
}

// versions looks whether all parts are of one.
func versions(f *Facts, found add) {
	who := map[string][]string{}
	seen := map[string]bool{}
	note := func(version, id, name string) {
		if version == "" || id != "" && seen[id] {
			return
		}
		seen[id] = true
		who[version] = append(who[version], name)
	}
	for _, p := range f.Parts {
		note(p.GetDiagnosis().GetVersion(), p.GetNodeId(), nameOf(p))
	}
	for _, n := range f.Status.GetNodes() {
		note(n.GetVersion(), n.GetId(), "chunk-node "+n.GetId())
	}
	for _, s := range f.Status.GetServices() {
		if s.GetName() == "s3-gateway" {
			note(s.GetVersion(), "", s.GetName()+" "+s.GetAddress())
		}
	}
	if len(who) < 2 {
		return
	}
	var text []string
	for _, v := range slices.Sorted(maps.Keys(who)) {
		names := who[v]
		if len(names) > 3 {
			names = append(slices.Clone(names[:2]), "others")
		}
		text = append(text, v+" ("+strings.Join(names, ", ")+")")
	}
	found(Warning, "", "finish the upgrade: parts of two versions should run together no longer than it takes", "there are parts of different versions: %s", strings.Join(text, "; "))
}
