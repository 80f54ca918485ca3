package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

func TestHowLongAgoTheDatabaseWasRepaired(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	at := func(machine string, ago time.Duration) *adminv1.DatabaseMachine {
		return &adminv1.DatabaseMachine{Machine: machine, Repaired: timestamppb.New(now.Add(-ago))}
	}
	never := &adminv1.DatabaseMachine{Machine: "c"}
	for want, machines := range map[string][]*adminv1.DatabaseMachine{
		"5 minutes ago": {at("a", 5*time.Minute)},
		"0 minutes ago": {at("a", -time.Minute)},
		"47 hours ago":  {at("a", 47*time.Hour+time.Minute)},
		"3 days ago on b, the longest of 2 machines": {at("a", time.Hour), at("b", 80*time.Hour)},
		"never on c, the longest of 3 machines":      {at("a", time.Hour), never, at("b", 80*time.Hour)},
		"never":                                      {never},
	} {
		require.Equal(t, want, repairedText(newRepaired(machines), now))
	}
}
