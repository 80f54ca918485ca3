package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

func TestAClusterIsHealthyIfAllItsNodesAre(t *testing.T) {
	for why, n := range map[string]*adminv1.Node{
		"it is away":         {},
		"it is read-only":    {Alive: true, ReadOnly: true},
		"it has a problem":   {Alive: true, Problem: "a disk fails"},
		"it lacks copies":    {Alive: true, Wanted: 1},
		"it came back empty": {Alive: true, Partitions: 3, Uncompared: true},
		"":                   {Alive: true, Owed: 3, Quarantined: 1}, // which repairs itself
	} {
		well := &adminv1.Node{Alive: true}
		require.Equal(t, why == "", newStatusJSON(&adminv1.GetStatusResponse{Nodes: []*adminv1.Node{well, n}}).Healthy, why)
	}
}

func TestANodeThatCameBackEmptyIsSaid(t *testing.T) {
	empty := &adminv1.Node{Id: "empty", Alive: true, Partitions: 3, Uncompared: true}
	var said strings.Builder
	newStatusJSON(&adminv1.GetStatusResponse{Nodes: []*adminv1.Node{empty}}).write(&said)
	require.Contains(t, said.String(), "\tcomparing\t")
	require.Contains(t, said.String(), "node empty: it began with an empty disk")
}
