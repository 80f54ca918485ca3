package disk

import (
	"context"
	"encoding/binary"

	"deuxfleurs.fr/garage/pkg/errors"
)

// Note implements heal.Local. Each disk has all notes, so that one that dies takes none away; the latest counts.
func (s *Store) Note(ctx context.Context, name string) (value []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, ended(err)
	}
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.leave()
	value, _, err = s.note(name)
	return value, err
}

// note also returns the number of the note.
func (s *Store) note(name string) (value []byte, latest uint64, err error) {
	for _, v := range s.volumes {
		if _, err := lookup(v.db, metaKey(metaNote+name), func(p []byte) error {
			if len(p) < 8 {
				return errors.Newf(errors.Internal, "a note of the index is malformed: %x", p)
			}
			if n := binary.BigEndian.Uint64(p); n > latest {
				value, latest = append([]byte{}, p[8:]...), n
			}
			return nil
		}); err != nil {
			return nil, 0, errors.Annotate(err, "reading the note %s on the disk %s", name, v.disk.Path)
		}
	}
	return value, latest, nil
}

// SetNote implements heal.Local.
func (s *Store) SetNote(ctx context.Context, name string, value []byte) error {
	if err := ctx.Err(); err != nil {
		return ended(err)
	}
	if err := s.begin(); err != nil {
		return err
	}
	defer s.leave()
	s.noting.Lock()
	defer s.noting.Unlock()
	_, latest, err := s.note(name)
	if err != nil {
		return err
	}
	written := 0
	for _, v := range s.volumes {
		if v.failed() != nil {
			continue
		}
		if err := v.set(metaKey(metaNote+name), append(binary.BigEndian.AppendUint64(nil, latest+1), value...)); err != nil {
			return errors.Annotate(err, "writing the note %s", name)
		}
		written++
	}
	if written == 0 {
		return s.volumes[0].failed()
	}
	return nil
}
