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

// note also returns the number of the note. It fails only if no disk can be read.
func (s *Store) note(name string) (value []byte, latest uint64, err error) {
	var errs []error
	for _, v := range s.volumes {
		_, err := lookup(v.db, metaKey(metaNote+name), func(p []byte) error {
			if len(p) < 8 {
				return errors.Newf(errors.Internal, "a note of the index is malformed: %x", p)
			}
			if n := binary.BigEndian.Uint64(p); n > latest {
				value, latest = append([]byte{}, p[8:]...), n
			}
			return nil
		})
		if err == nil {
			continue
		}
		errs = append(errs, errors.Annotate(err, "reading the note %s on the disk %s", name, v.disk.Path))
		if v.failed() == nil {
			v.log.Warn("a note of the tasks cannot be read; those on the other disks are used", "note", name, "error", err)
		}
	}
	if len(errs) == len(s.volumes) {
		return nil, 0, errors.Join(errs...)
	}
	return value, latest, nil
}

// SetNote implements heal.Local. It is written to each disk that works.
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
	var errs []error
	for _, v := range s.volumes {
		err := v.failed()
		if err == nil { // if that fails, the disk is out of use from then on, and has said so
			err = v.set(metaKey(metaNote+name), append(binary.BigEndian.AppendUint64(nil, latest+1), value...))
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == len(s.volumes) {
		return errors.Annotate(errors.Join(errs...), "writing the note %s", name)
	}
	return nil
}
