package postform

import (
	"io"
	"mime/multipart"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

// File is the content of a form's file. It is read by one goroutine.
type File struct {
	part     *multipart.Part
	min, max int64 // bytes; max negative: no limit
	read     int64
	err      error
}

// Limit sets how many bytes the file must and may have.
func (f *File) Limit(least, most int64) { f.min, f.max = least, most }

// Cap lowers the limit to n bytes, where it is higher.
func (f *File) Cap(n int64) {
	if f.max < 0 || f.max > n {
		f.max = n
	}
}

// Read gives the file's bytes. io.EOF, and only io.EOF, says that it was whole and of a length that is allowed. Its
// errors carry S3's codes.
func (f *File) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.part.Read(p)
	f.read += int64(n)
	switch {
	case f.max >= 0 && f.read > f.max:
		err = s3err.EntityTooLarge.With("ProposedSize", itoa(f.read)).With("MaxSizeAllowed", itoa(f.max))
	case err == io.EOF && f.read < f.min:
		err = s3err.EntityTooSmall.With("ProposedSize", itoa(f.read)).With("MinSizeAllowed", itoa(f.min))
	case err != nil && err != io.EOF:
		err = readError(err)
	}
	f.err = err
	if err != nil && err != io.EOF {
		return 0, err
	}
	return n, err
}
