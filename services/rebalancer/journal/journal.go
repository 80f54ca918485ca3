package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/datafolder"
	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	suffix = ".jsonl"
	// parts is about how many files there are when a journal is full: so much of it goes at a time.
	parts = 8
	// MaxLine is the bytes of the longest line.
	MaxLine = 1 << 20
)

// Options say where a journal is and how much it keeps.
type Options struct {
	Folder   string
	Keep     time.Duration // lines older than this go, some time later
	MaxBytes int64         // of all files
}

// file is what is done to one.
type file interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// segment is one file: its lines are numbered from first.
type segment struct {
	first uint64
	begun time.Time // no earlier than those before
	size  int64     // bytes that are on disk for sure
	lines uint64    // in these
}

func (s segment) name() string { return fmt.Sprintf("%020d-%d%s", s.first, s.begun.Unix(), suffix) }

// Journal is an open journal. It is safe for concurrent use.
type Journal struct {
	options Options
	open    func(path string) (file, error)

	mu       sync.Mutex
	segments []segment // in order
	closed   bool      // the last one is not to be written to
}

// Open reads what there is; it makes the folder if there is none. Kinds: Unavailable.
func Open(o Options) (*Journal, error) {
	j := &Journal{options: o, open: func(path string) (file, error) { return os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0) }}
	if err := j.load(); err != nil {
		return nil, errors.E(errors.Unavailable, errors.Folder, o.Folder, "the journal cannot be read: %v", err)
	}
	return j, nil
}

func (j *Journal) load() error {
	if err := datafolder.MakeAll(j.options.Folder); err != nil {
		return err
	}
	entries, err := os.ReadDir(j.options.Folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if s, ours := parse(e.Name()); ours {
			j.segments = append(j.segments, s)
		}
	}
	slices.SortFunc(j.segments, func(a, b segment) int { return strings.Compare(a.name(), b.name()) })
	for i := range j.segments {
		s := &j.segments[i]
		content, err := os.ReadFile(j.path(*s))
		if err != nil {
			return err
		}
		s.size = int64(bytes.LastIndexByte(content, '\n') + 1)
		s.lines = uint64(bytes.Count(content[:s.size], []byte{'\n'}))
		if i+1 < len(j.segments) { // what a failed write may have left counts for nothing
			s.lines = min(s.lines, j.segments[i+1].first-s.first)
		}
	}
	return nil
}

func parse(name string) (segment, bool) {
	number, begun, found := strings.Cut(strings.TrimSuffix(name, suffix), "-")
	first, err := strconv.ParseUint(number, 10, 64)
	at, err2 := strconv.ParseInt(begun, 10, 64)
	s := segment{first: first, begun: time.Unix(at, 0)}
	return s, found && err == nil && err2 == nil && first > 0 && s.name() == name
}

func (j *Journal) path(s segment) string { return filepath.Join(j.options.Folder, s.name()) }

// Append adds lines, each the JSON of a value without a line break. When it returns nil they are on disk. Kinds: Invalid for what is no such line;
// Unavailable: none of them is there, unless the disk kept what it said it had not.
func (j *Journal) Append(now time.Time, lines ...[]byte) error {
	var batch []byte
	for _, l := range lines {
		if len(l) > MaxLine || bytes.IndexByte(l, '\n') >= 0 || !json.Valid(l) {
			return errors.Newf(errors.Invalid, "a line of the journal is JSON of at most %d bytes without a line break", MaxLine)
		}
		batch = append(append(batch, l...), '\n')
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.append(now, batch, uint64(len(lines)))
	if err != nil {
		return errors.E(errors.Unavailable, errors.Folder, j.options.Folder, "the journal cannot be written: %v; look at the disk and at its free space", err)
	}
	return nil
}

func (j *Journal) append(now time.Time, batch []byte, lines uint64) error {
	if err := j.expire(now); err != nil {
		return err
	}
	s, err := j.last(now)
	if err != nil {
		return err
	}
	f, err := j.open(j.path(*s))
	if err != nil {
		return err
	}
	if err = f.Truncate(s.size); err == nil { // what a crash has cut off
		if _, err = f.Write(batch); err == nil {
			err = f.Sync()
		}
		if err != nil {
			j.closed = true
			err = errors.Join(err, f.Truncate(s.size))
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		j.closed = true
		return err
	}
	s.size, s.lines = s.size+int64(len(batch)), s.lines+lines
	return nil
}

// last is the file to append to.
func (j *Journal) last(now time.Time) (*segment, error) {
	next := segment{first: 1, begun: now}
	if n := len(j.segments); n > 0 {
		s := &j.segments[n-1]
		if !j.closed && s.size < j.options.MaxBytes/parts && now.Sub(s.begun) < j.options.Keep/parts {
			return s, nil
		}
		if s.lines == 0 && !j.closed {
			return s, nil
		}
		next.first = s.first + s.lines
		if s.begun.After(now) {
			next.begun = s.begun
		}
		if s.lines == 0 { // its name would be taken
			if err := os.Remove(j.path(*s)); err != nil {
				return nil, err
			}
			j.segments = j.segments[:n-1]
		}
	}
	if err := datafolder.WriteFile(j.path(next), nil, 0o600); err != nil {
		return nil, err
	}
	j.segments, j.closed = append(j.segments, next), false
	return &j.segments[len(j.segments)-1], nil
}

// expire removes what is too much or too old: all lines of a file are older than the next one.
func (j *Journal) expire(now time.Time) error {
	total := int64(0)
	for _, s := range j.segments {
		total += s.size
	}
	for len(j.segments) > 1 && (total > j.options.MaxBytes || now.Sub(j.segments[1].begun) > j.options.Keep) {
		if err := os.Remove(j.path(j.segments[0])); err != nil && !os.IsNotExist(err) {
			return err
		}
		total -= j.segments[0].size
		j.segments = slices.Delete(j.segments, 0, 1)
	}
	return nil
}

// Next is the number that the next line gets.
func (j *Journal) Next() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.segments) == 0 {
		return 1
	}
	s := j.segments[len(j.segments)-1]
	return s.first + s.lines
}

// Newest calls each with the lines whose numbers are below before (0: all), the newest first, until it returns false. A line that cannot be
// read as JSON is left out. Kinds: Unavailable; Canceled, Deadline.
func (j *Journal) Newest(ctx context.Context, before uint64, each func(number uint64, line []byte) (more bool)) error {
	j.mu.Lock()
	segments := slices.Clone(j.segments)
	j.mu.Unlock()
	for _, s := range slices.Backward(segments) {
		if before > 0 && s.first >= before {
			continue
		}
		if err := context.Cause(ctx); err != nil {
			return errors.Wrap(errors.KindOf(err), err, "reading the journal")
		}
		lines, err := j.read(s)
		if os.IsNotExist(err) { // it has become too old meanwhile, as have those before it
			return nil
		}
		if err != nil {
			return errors.E(errors.Unavailable, errors.Folder, j.options.Folder, "the journal cannot be read: %v", err)
		}
		for i, line := range slices.Backward(lines) {
			number := s.first + uint64(i)
			if before > 0 && number >= before || !json.Valid(line) {
				continue
			}
			if !each(number, line) {
				return nil
			}
		}
	}
	return nil
}

// read is the lines of a file, without what is being written.
func (j *Journal) read(s segment) ([][]byte, error) {
	f, err := os.Open(j.path(s))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content := make([]byte, s.size)
	if _, err := io.ReadFull(f, content); err != nil {
		return nil, err
	}
	lines := bytes.Split(content, []byte{'\n'})
	return lines[:min(uint64(len(lines)), s.lines)], nil
}
