package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	gerrors "deuxfleurs.fr/garage/pkg/errors"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
	"deuxfleurs.fr/garage/services/cmd/garage/doctor"
)

// doctorJSON is what doctor found.
type doctorJSON struct {
	Healthy  bool          `json:"healthy"` // nothing worse than notes
	Findings []findingJSON `json:"findings"`
	Checks   []checkJSON   `json:"checks"`
	Examined int           `json:"examined"` // programs that answered
}

type findingJSON struct {
	Level    string   `json:"level"` // error, warning or note
	Check    string   `json:"check"`
	Subjects []string `json:"subjects"` // nodes, services or folders
	Problem  string   `json:"problem"`
	Advice   string   `json:"advice"`
}

type checkJSON struct {
	Name  string `json:"name"`
	What  string `json:"what"`
	State string `json:"state"` // the worst that it found, fine, or not seen: there was nothing to look at
}

func newDoctor() *cobra.Command {
	c := &connection{}
	cmd := &cobra.Command{
		Use: "doctor", Short: "Examine every part, and say what is wrong and what to do", Args: cobra.NoArgs,
		Long: `Examine every part, and say what is wrong and what to do: the worst first.

Each program measures its clock, its folders and how fast they sync, its open files, its certificates, and what it reaches;
that takes some seconds and changes nothing. Asked of a program that is no rebalancer (--data with its data folder), it examines that one alone,
which also works while no rebalancer does. The exit status is

  0  nothing is wrong; there may be notes
  1  something should be looked at
  2  something is wrong, or it could not be examined`,
		Annotations: map[string]string{ownStatus: "yes"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			facts := &doctor.Facts{Now: time.Now()}
			err := c.connected(cmd, func(ctx context.Context, conn *grpc.ClientConn) error { return learn(ctx, conn, facts) })
			if err != nil {
				facts.Failed = []string{err.Error()}
			}
			found := doctor.Examine(facts)
			v := newDoctorJSON(facts, found)
			if err := c.show(cmd, v, v.write); err != nil {
				return err
			}
			if worst := doctor.Worst(found); worst > doctor.Note {
				return exitError(worst)
			}
			return nil
		},
	}
	c.addFlags(cmd)
	return cmd
}

// learn asks everything. What is not answered is a fact too; it fails only if nobody answers.
func learn(ctx context.Context, conn *grpc.ClientConn, f *doctor.Facts) (err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	admin := adminv1.NewAdminServiceClient(conn)
	f.Status, err = admin.GetStatus(ctx, &adminv1.GetStatusRequest{})
	switch {
	case gerrors.Is(err, gerrors.NotImplemented):
		return learnAlone(ctx, conn, f)
	case err != nil && !gerrors.Answered(err):
		return err
	case err != nil:
		f.Status, f.Failed = nil, append(f.Failed, fmt.Sprintf("the status of the cluster is not known: %v", err))
	}
	f.Layout, err = admin.GetLayout(ctx, &adminv1.GetLayoutRequest{})
	if err != nil {
		f.Layout = nil
		if !gerrors.Is(err, gerrors.PreconditionFailed) { // the layout is a file
			f.Failed = append(f.Failed, fmt.Sprintf("the layout is not known: %v", err))
		}
	}
	damaged, err := admin.ListDamaged(ctx, &adminv1.ListDamagedRequest{})
	if err != nil {
		f.Failed = append(f.Failed, fmt.Sprintf("damaged chunks are not known: %v", err))
	}
	f.Damaged = damaged.GetChunks()
	parts, err := admin.Diagnose(ctx, &adminv1.DiagnoseRequest{})
	if err != nil {
		f.Failed = append(f.Failed, fmt.Sprintf("the parts were not examined: %v", err))
	}
	f.Parts = parts.GetParts()
	return nil
}

// learnAlone asks a program that is no rebalancer about itself.
func learnAlone(ctx context.Context, conn *grpc.ClientConn, f *doctor.Facts) error {
	d, err := clusterv1.NewDiagnoseServiceClient(conn).Diagnose(ctx, &clusterv1.DiagnoseRequest{})
	if err != nil {
		return err
	}
	f.Status, f.Layout = nil, nil
	// It is compared with nobody.
	f.Parts = []*adminv1.Part{{Service: d.GetService(), NodeId: d.GetNodeId(), Diagnosis: d, Clock: durationpb.New(0)}}
	return nil
}

func newDoctorJSON(f *doctor.Facts, found []doctor.Finding) *doctorJSON {
	v := &doctorJSON{Healthy: doctor.Worst(found) == doctor.Note, Findings: []findingJSON{}, Checks: []checkJSON{}}
	for _, p := range f.Parts {
		if p.GetDiagnosis() != nil {
			v.Examined++
		}
	}
	states := map[string]string{}
	for _, one := range found {
		v.Findings = append(v.Findings, findingJSON{one.Level.String(), one.Check, append([]string{}, one.Subjects...), one.Problem, one.Advice})
		if states[one.Check] == "" { // the worst comes first
			states[one.Check] = one.Level.String()
		}
	}
	for _, c := range doctor.Checks {
		state := states[c.Name]
		switch {
		case state != "":
		case c.Can(f):
			state = "fine"
		default:
			state = "not seen"
		}
		v.Checks = append(v.Checks, checkJSON{c.Name, c.What, state})
	}
	return v
}

func (v *doctorJSON) write(w io.Writer) {
	for _, f := range v.Findings {
		text := f.Problem
		if n := len(f.Subjects); n > 0 {
			const most = 3
			names := strings.Join(f.Subjects[:min(n, most)], "; ")
			if n > most {
				names += fmt.Sprintf(" and %d more", n-most)
			}
			text = names + ": " + text
		}
		// Cells of a table would make all lines as long as the longest.
		_, _ = fmt.Fprintf(w, "%-7s  %s\n         → %s\n\n", f.Level, text, f.Advice)
	}
	row(w, "CHECK", "STATE", "THAT")
	for _, c := range v.Checks {
		row(w, c.Name, c.State, c.What)
	}
	row(w, "")
	switch {
	case v.Examined == 0:
		row(w, "No program could be examined.")
	case len(v.Findings) == 0:
		row(w, fmt.Sprintf("Nothing is wrong. %d programs were examined.", v.Examined))
	default:
		row(w, fmt.Sprintf("%d programs were examined.", v.Examined))
	}
}
