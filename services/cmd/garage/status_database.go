package main

import (
	"fmt"
	"time"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// repairedJSON is a machine of the database.
type repairedJSON struct {
	Machine  string     `json:"machine"`
	Repaired *time.Time `json:"repaired"` // null: never
}

func newRepaired(machines []*adminv1.DatabaseMachine) []repairedJSON {
	all := []repairedJSON{}
	for _, m := range machines {
		v := repairedJSON{Machine: m.GetMachine()}
		if m.GetRepaired() != nil {
			at := m.GetRepaired().AsTime()
			v.Repaired = &at
		}
		all = append(all, v)
	}
	return all
}

// repairedText is how long ago the machine was repaired for which that is longest.
func repairedText(machines []repairedJSON, now time.Time) string {
	oldest := machines[0]
	for _, m := range machines {
		if m.Repaired == nil || oldest.Repaired != nil && m.Repaired.Before(*oldest.Repaired) {
			oldest = m
		}
	}
	ago := "never"
	if oldest.Repaired != nil {
		switch d := now.Sub(*oldest.Repaired); {
		case d >= 48*time.Hour:
			ago = fmt.Sprintf("%d days ago", d/(24*time.Hour))
		case d >= 2*time.Hour:
			ago = fmt.Sprintf("%d hours ago", d/time.Hour)
		default:
			ago = fmt.Sprintf("%d minutes ago", max(0, d/time.Minute))
		}
	}
	if len(machines) > 1 {
		ago += fmt.Sprintf(" on %s, the longest of %d machines", oldest.Machine, len(machines))
	}
	return ago
}
