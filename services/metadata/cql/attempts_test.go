//go:build stack

package cql

import (
	"testing"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/metatest"
)

func TestRestoredObjectsKeepTheirTimestamps(t *testing.T) {
	metatest.RunRestored(t, func(t *testing.T, c clock.Clock) meta.Store { return openStore(t, c) })
}
