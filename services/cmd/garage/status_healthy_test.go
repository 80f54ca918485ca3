package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

func TestAClusterIsHealthyIfAllItsNodesAre(t *testing.T) {
	for why, n := range map[string]*adminv1.Node{
		"it is away":       {},
		"it is read-only":  {Alive: true, ReadOnly: true},
		"it has a problem": {Alive: true, Problem: "a disk fails"},
		"it lacks copies":  {Alive: true, Wanted: 1},
		"":                 {Alive: true, Owed: 3, Quarantined: 1}, // which repairs itself
	} {
		well := &adminv1.Node{Alive: true}
		require.Equal(t, why == "", newStatusJSON(&adminv1.GetStatusResponse{Nodes: []*adminv1.Node{well, n}}).Healthy, why)
	}
}
