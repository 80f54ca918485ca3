package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

// Facts are what was learned. What is nil was not.
type Facts struct {
	Now    time.Time
	Status *adminv1.GetStatusResponse
	Layout *adminv1.GetLayoutResponse // nil also where the layout is a file
	// Damaged are chunks without a good copy, the first ones of them.
	Damaged []*adminv1.DamagedChunk
	Parts   []*adminv1.Part
	// Failed are the questions that were not answered, and why.
	Failed []string
}

// Level is how much a finding matters.
type Level int

const (
	Note    Level = iota // it is good to know
	Warning              // something should be looked at
	Error                // something is wrong, or data is in danger
)

func (l Level) String() string { return [...]string{"note", "warning", "error"}[l] }

// Finding is something that is not as it should be.
type Finding struct {
	Level    Level
	Check    string   // the name of the check that found it
	Subjects []string // the nodes, services or folders that it is about; may be empty
	Problem  string
	Advice   string
}

// Check is one subject that is looked at.
type Check struct {
	Name string
	What string // for people
	look func(*Facts, add)
	// can tells whether there is something to look at.
	can func(*Facts) bool
}

// Can tells whether there was something for the check to look at.
func (c Check) Can(f *Facts) bool { return c.can(f) }

// add takes a finding of a check.
type add func(level Level, subject, advice, problem string, args ...any)

// Checks are all, the most important first.
var Checks = []Check{
	{"reachability", "every part answers, and reaches what it needs", reachability, always},
	{"damage", "every chunk has a good copy", damage, status},
	{"layout", "the layout keeps copies apart, is carried out, and fills nodes evenly", layouts, status},
	{"disks", "disks have room, can be written, and keep what is written", disks, examined},
	{"database", "the database syncs what it acknowledges, and is repaired", database, hasDatabase},
	{"clocks", "clocks agree", clocks, examined},
	{"certificates", "certificates are valid for some time", certificates, hasCertificates},
	{"access", "Consul denies certificates to who has no token", access, hasConsul},
	{"sync", "disks are quick to make durable what is written", syncs, examined},
	{"files", "programs may open enough files", openFiles, examined},
	{"versions", "all parts are of one version", versions, examined},
}

func always(*Facts) bool   { return true }
func status(f *Facts) bool { return f.Status != nil }

// any tells whether a program was examined of which that is true.
func (f *Facts) any(is func(*clusterv1.DiagnoseResponse) bool) bool {
	return slices.ContainsFunc(f.Parts, func(p *adminv1.Part) bool { return p.GetDiagnosis() != nil && is(p.GetDiagnosis()) })
}

func examined(f *Facts) bool {
	return f.any(func(*clusterv1.DiagnoseResponse) bool { return true })
}

func hasCertificates(f *Facts) bool {
	return f.any(func(d *clusterv1.DiagnoseResponse) bool { return len(d.GetCertificates()) > 0 })
}

func hasSetting(f *Facts, name string) bool {
	return f.any(func(d *clusterv1.DiagnoseResponse) bool {
		return slices.ContainsFunc(d.GetSettings(), func(s *clusterv1.Setting) bool { return s.GetName() == name })
	})
}

func hasConsul(f *Facts) bool { return hasSetting(f, "consul.acl") }

func hasDatabase(f *Facts) bool {
	return hasSetting(f, "database.commitlog_sync") || len(f.Status.GetDatabase()) > 0
}

// Examine has all checks look at the facts, and returns what they found: the worst first, then in the order of the checks. What is the same of
// several subjects is one finding.
func Examine(f *Facts) []Finding {
	var all []Finding
	for _, c := range Checks {
		c.look(f, func(level Level, subject, advice, problem string, args ...any) {
			one := Finding{Level: level, Check: c.Name, Problem: fmt.Sprintf(problem, args...), Advice: advice}
			at := slices.IndexFunc(all, func(o Finding) bool {
				return o.Level == one.Level && o.Check == one.Check && o.Problem == one.Problem && o.Advice == one.Advice
			})
			if at < 0 {
				at, all = len(all), append(all, one)
			}
			if subject != "" {
				all[at].Subjects = append(all[at].Subjects, subject)
			}
		})
	}
	slices.SortStableFunc(all, func(a, b Finding) int { return cmp.Compare(b.Level, a.Level) })
	return all
}

// Worst is the level of the worst finding, and Note without any.
func Worst(all []Finding) Level {
	worst := Note
	for _, f := range all {
		worst = max(worst, f.Level)
	}
	return worst
}

// nameOf is how people tell a part from others.
func nameOf(p *adminv1.Part) string {
	name := p.GetService()
	if p.GetNodeId() != "" {
		name += " " + p.GetNodeId()
	}
	switch {
	case p.GetMachine() != "":
		name += " on " + p.GetMachine()
	case p.GetAddress() != "":
		name += " at " + p.GetAddress()
	}
	return name
}

// sizeText is a number of bytes for people.
func sizeText(n int64) string {
	const unit = 1 << 30
	if n < unit {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/unit)
}
