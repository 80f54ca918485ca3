package simulation

import (
	"context"
	"encoding/binary"
	"time"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/chunk-node/heal"
)

// metadata is what a node sees of the metadata: the model, which is away at times and knows of each reference until its removal was acknowledged. If
// Options.Forgets says so, it is wrong at times: it does not know some of what lives.
type metadata struct{ w *World }

const (
	// forgetsFor is for how long it is wrong, at most: less than a reference, which goes only after the wait, stays in the trash after that.
	forgetsFor = longWait + longTrash - time.Minute
	// forgetsEvery is how long it is right in between, at most.
	forgetsEvery = 10 * time.Minute
)

// forget has the metadata be wrong for a while, and again later about others: nodes may not ask while it is right.
func (w *World) forget() {
	if w.stopping {
		return
	}
	w.note("the metadata is wrong")
	w.forgetful = 1 + w.random.IntN(3)
	w.lapses++
	w.after(w.between(longWait, forgetsFor), func() {
		w.note("the metadata is right")
		w.forgetful = 0
		w.after(w.between(time.Second, forgetsEvery), w.forget)
	})
}

// forgets reports whether the metadata does not know a reference that lives now.
func (w *World) forgets(r *reference) bool {
	return w.forgetful > 0 && int(r.Offset)%w.forgetful == 0 && (r.forgotten == 0 || r.forgotten == w.lapses)
}

var _ heal.Metadata = metadata{}

// Info implements heal.Metadata.
func (m metadata) Info(context.Context) (meta.Info, error) { return meta.Info{}, m.away() }

// Attempts implements meta.Attempts.
func (m metadata) Attempts(_ context.Context, r meta.FindAttempts) ([]meta.Attempt, error) {
	if err := m.away(); err != nil {
		return nil, err
	}
	answers := make([]meta.Attempt, len(r.IDs))
	for i, id := range r.IDs {
		answers[i] = meta.Attempt{ID: id, State: meta.AttemptGarbage}
		switch ref := m.w.model.refs[binary.BigEndian.Uint64(id[8:])]; ref.state {
		case writing:
			answers[i].State = meta.AttemptOpen
		case living:
			if answers[i].State = meta.AttemptComplete; m.w.forgets(ref) {
				answers[i].State = meta.AttemptUnknown
				ref.forgotten = m.w.lapses
				m.w.Counts.Forgotten++
			}
		case gone:
			answers[i].State = meta.AttemptUnknown
		}
	}
	return answers, m.away()
}

// away takes the time of half a request, and fails now and then.
func (m metadata) away() error {
	m.w.pause(m.w.between(time.Millisecond, 100*time.Millisecond))
	if m.w.rough && m.w.chance(5) {
		return errors.Newf(errors.Unavailable, "the metadata is away")
	}
	return nil
}
