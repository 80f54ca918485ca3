package cql

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/meta"
)

func TestARowRisesOnlyAboveConditionalOnesThatDidNotSeeIt(t *testing.T) {
	own := meta.Version{Timestamp: 10, ID: uuid.New()}
	mine := head{Version: own}
	at := func(ts clock.Timestamp, checked ...int64) head {
		h := head{Version: meta.Version{Timestamp: ts, ID: uuid.New()}}
		if len(checked) > 0 {
			h.checked = &checked[0]
		}
		return h
	}
	for name, c := range map[string]struct {
		heads  []head
		outran bool
	}{
		"nothing is above":                               {[]head{mine, at(5, 4)}, false},
		"an unconditional write is above":                {[]head{at(12), mine}, false},
		"a conditional write is, that replaced it":       {[]head{at(12, 10), mine, at(5)}, false},
		"a conditional write is, that did not see it":    {[]head{at(12, 5), mine, at(5)}, true},
		"one is, that found nothing":                     {[]head{at(12, 0), mine}, true},
		"two are, the second on the first":               {[]head{at(13, 12), at(12, 5), mine, at(5)}, true},
		"an unconditional write is above that":           {[]head{at(14), at(12, 5), mine, at(5)}, false},
		"one that saw it, and one on that":               {[]head{at(13, 12), at(12, 10), mine}, false},
		"one that did not see it, at the very same time": {[]head{at(10, 5), mine}, true},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.outran, outran(c.heads, own)) })
	}
}
