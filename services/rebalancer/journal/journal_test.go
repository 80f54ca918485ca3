package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
)

var noon = time.Unix(1_700_000_000, 0)

func open(t *testing.T, o Options) *Journal {
	t.Helper()
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 20
	}
	if o.Keep == 0 {
		o.Keep = 80 * time.Hour
	}
	j, err := Open(o)
	require.NoError(t, err)
	return j
}

func line(i int) []byte { return fmt.Appendf(nil, `{"i":%d}`, i) }

// all is what a journal has, as "number line", oldest first.
func all(t *testing.T, j *Journal, before uint64) (lines []string) {
	t.Helper()
	require.NoError(t, j.Newest(t.Context(), before, func(n uint64, l []byte) bool {
		lines = append([]string{fmt.Sprintf("%d %s", n, l)}, lines...)
		return true
	}))
	return lines
}

func TestLinesComeBackNewestFirstAfterANewStart(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new", "journal")
	j := open(t, Options{Folder: folder})
	require.Empty(t, all(t, j, 0))
	require.NoError(t, j.Append(noon, line(1), line(2)))
	require.NoError(t, j.Append(noon, line(3)))
	want := []string{`1 {"i":1}`, `2 {"i":2}`, `3 {"i":3}`}
	require.Equal(t, want, all(t, j, 0))
	j = open(t, Options{Folder: folder})
	require.Equal(t, want, all(t, j, 0))
	require.Equal(t, want[:2], all(t, j, 3))
	require.Equal(t, uint64(4), j.Next())
	for _, bad := range []string{"", "no json", "{}\n{}"} {
		require.True(t, errors.Is(j.Append(noon, []byte(bad)), errors.Invalid), bad)
	}
	require.Equal(t, want, all(t, j, 0))
}

// A crash leaves the last batch whole, not at all, or cut off anywhere: what was acknowledged before is there, and what comes
// after is numbered as if the torn line had never been.
func TestACrashInTheMiddleOfALineLosesNoOther(t *testing.T) {
	whole := []byte(`{"i":1}` + "\n" + `{"i":2}` + "\n")
	for cut := range len(whole) + 1 {
		folder := t.TempDir()
		require.NoError(t, open(t, Options{Folder: folder}).Append(noon, []byte(`{"i":0}`)))
		files, err := os.ReadDir(folder)
		require.NoError(t, err)
		require.Len(t, files, 1)
		f, err := os.OpenFile(filepath.Join(folder, files[0].Name()), os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.Write(whole[:cut])
		require.NoError(t, err)
		require.NoError(t, f.Close())

		j := open(t, Options{Folder: folder})
		want := []string{`1 {"i":0}`, `2 {"i":1}`, `3 {"i":2}`}[:1+cut/8]
		require.Equal(t, want, all(t, j, 0), "cut after %d bytes", cut)
		require.NoError(t, j.Append(noon, []byte(`{"i":9}`)))
		want = append(want, fmt.Sprintf(`%d {"i":9}`, len(want)+1))
		require.Equal(t, want, all(t, j, 0), "cut after %d bytes", cut)
		require.Equal(t, want, all(t, open(t, Options{Folder: folder}), 0), "cut after %d bytes", cut)
	}
}

// broken fails the nth operation on files, counted from the journal's opening.
type broken struct {
	*os.File
	left *int
	half bool // a write that fails has written half
}

func (b broken) fails() bool { *b.left--; return *b.left == 0 }

func (b broken) Write(p []byte) (int, error) {
	if b.fails() {
		if b.half {
			n, _ := b.File.Write(p[:len(p)/2])
			return n, os.ErrClosed
		}
		return 0, os.ErrClosed
	}
	return b.File.Write(p)
}

func (b broken) Sync() error {
	if b.fails() {
		return os.ErrClosed
	}
	return b.File.Sync()
}

func (b broken) Truncate(size int64) error {
	if b.fails() {
		return os.ErrClosed
	}
	return b.File.Truncate(size)
}

func (b broken) Close() error {
	return errors.Join(b.File.Close(), map[bool]error{true: os.ErrClosed}[b.fails()])
}

func TestADiskThatFailsAtAnyStepLosesNothingThatWasAcknowledged(t *testing.T) {
	for n := 1; n <= 14; n++ {
		folder := t.TempDir()
		j := open(t, Options{Folder: folder})
		real, left := j.open, n
		j.open = func(path string) (file, error) {
			f, err := real(path)
			return broken{f.(*os.File), &left, n%2 == 0}, err
		}
		var want []string
		failed := 0
		for i := range 5 {
			if err := j.Append(noon, line(i)); err != nil {
				require.True(t, errors.IsEntity(err, errors.Unavailable, errors.Folder), "%v", err)
				failed++
				continue
			}
			want = append(want, fmt.Sprintf("%d %s", len(want)+1, line(i)))
		}
		require.Equal(t, 1, failed, "step %d", n)
		require.Equal(t, want, all(t, j, 0), "step %d", n)
		require.Equal(t, want, all(t, open(t, Options{Folder: folder}), 0), "step %d", n)
	}
}

func TestTheOldestGoWhenThereIsTooMuch(t *testing.T) {
	folder := t.TempDir()
	j := open(t, Options{Folder: folder, MaxBytes: 800})
	for i := range 1000 {
		require.NoError(t, j.Append(noon, line(i)))
	}
	size := int64(0)
	files, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, f := range files {
		info, err := f.Info()
		require.NoError(t, err)
		size += info.Size()
	}
	require.LessOrEqual(t, size, int64(800+10))
	kept := all(t, j, 0)
	require.Greater(t, len(kept), 50)
	require.Equal(t, `1000 {"i":999}`, kept[len(kept)-1])
	require.Equal(t, kept, all(t, open(t, Options{Folder: folder, MaxBytes: 800}), 0))
}

func TestWhatIsTooOldGoesAndAClockThatJumpsBackMakesNothingOld(t *testing.T) {
	j := open(t, Options{Folder: t.TempDir()})
	for hour := range 200 {
		require.NoError(t, j.Append(noon.Add(time.Duration(hour)*time.Hour), line(hour)))
	}
	kept := all(t, j, 0)
	require.GreaterOrEqual(t, len(kept), 80)
	require.LessOrEqual(t, len(kept), 80+2*80/parts)
	require.NoError(t, j.Append(time.Unix(0, 0), line(-1)))
	require.NoError(t, j.Append(noon.Add(200*time.Hour), line(200)))
	require.GreaterOrEqual(t, len(all(t, j, 0)), 80)
}

func TestADamagedLineHidesNoOther(t *testing.T) {
	folder := t.TempDir()
	j := open(t, Options{Folder: folder})
	require.NoError(t, j.Append(noon, line(1), line(2), line(3)))
	path := j.path(j.segments[0])
	require.NoError(t, os.WriteFile(path, []byte("{\"i\":1}\n{\x00\x00\x00\x00\x00}\n{\"i\":3}\n"), 0o600))
	require.Equal(t, []string{`1 {"i":1}`, `3 {"i":3}`}, all(t, open(t, Options{Folder: folder}), 0))
}
