package disk

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"deuxfleurs.fr/garage/pkg/errors"
)

// directFrom is the least size in bytes for which writing past the page cache
// pays. It saves the copy into the cache and its bookkeeping, about half of the
// processor time of a large write; the first read then comes from the disk.
const directFrom = 256 << 10

// directAlignment is what every disk and file system is content with.
const directAlignment = 4096

// maxIovec is how many pieces the system takes in one call.
const maxIovec = 1024

// directPossible tries whether the file system of a folder takes direct writes.
func directPossible(folder string) bool {
	path := folder + "/direct"
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_DIRECT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return false
	}
	defer func() {
		_ = unix.Close(fd) // an empty trial
		_ = unix.Unlink(path)
	}()
	page := make([]byte, 4*directAlignment)
	at := -int(uintptr(unsafe.Pointer(unsafe.SliceData(page)))) & (directAlignment - 1)
	n, err := unix.Write(fd, page[at:at+directAlignment])
	return err == nil && n == directAlignment
}

// writeDirect writes a new file, and syncs it by what it hands to sync; nil: not at all. What is not aligned, at the end,
// goes through the cache.
func writeDirect(path string, segments [][]byte, sync func(func() error) error) (err error) {
	aligned := 0
	for aligned < len(segments) && isAligned(segments[aligned]) {
		aligned++
	}
	flags := unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_CLOEXEC
	if aligned > 0 {
		flags |= unix.O_DIRECT
	}
	fd, err := retry(func() (int, error) { return unix.Open(path, flags, 0o600) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	if err := writeAll(fd, segments[:aligned]); err != nil {
		return err
	}
	if aligned < len(segments) {
		if aligned > 0 {
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, 0); err != nil {
				return err
			}
		}
		if err := writeAll(fd, segments[aligned:]); err != nil {
			return err
		}
	}
	if sync == nil {
		return nil
	}
	err = sync(func() error {
		_, err := retry(func() (int, error) { return 0, unix.Fdatasync(fd) })
		return err
	})
	if err != nil {
		return syncError{err}
	}
	return nil
}

// syncError is a failed sync: it takes the disk out, other than a failed write.
type syncError struct{ error }

func (e syncError) Unwrap() error { return e.error }

func isAligned(p []byte) bool {
	return len(p) > 0 && len(p)%directAlignment == 0 && uintptr(unsafe.Pointer(unsafe.SliceData(p)))%directAlignment == 0
}

// writeAll writes all pieces at the file's position.
func writeAll(fd int, pieces [][]byte) error {
	for len(pieces) > 0 {
		n, err := retry(func() (int, error) { return unix.Writev(fd, pieces[:min(len(pieces), maxIovec)]) })
		if err != nil {
			return err
		}
		if n == 0 {
			return errors.New("nothing was written")
		}
		for n > 0 && n >= len(pieces[0]) {
			n -= len(pieces[0])
			pieces = pieces[1:]
		}
		if n > 0 { // the rest of a piece, alone: the pieces are not ours to cut; it may not be aligned
			if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, 0); err != nil {
				return err
			}
			if err := writeAll(fd, [][]byte{pieces[0][n:]}); err != nil {
				return err
			}
			pieces = pieces[1:]
		}
	}
	return nil
}

// retry repeats a call that a signal interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}
