package postform

import (
	"bufio"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"strings"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
	"deuxfleurs.fr/garage/services/s3-gateway/sigv4"
)

const (
	// maxFields bounds names and values of the fields before the file, in bytes, as S3 does.
	maxFields = 20 << 10
	// maxPreamble bounds all that comes before the file, part headers and boundaries included.
	maxPreamble = 64 << 10
	// readAhead is the buffer between the connection and the multipart reader, which reads 4 KiB at a time.
	readAhead = 64 << 10
)

// Form is a POST form up to its file.
type Form struct {
	Key      string // the object's key
	FileName string // as the client said; may be empty
	FileType string // the Content-Type of the file's own part
	File     *File

	fields map[string]field // by lower-case name
}

// field is a field as sent, and with ${filename} replaced.
type field struct{ name, raw, value string }

// Get gives a field by its name, in any case, with ${filename} replaced; "" if it is not there.
func (f *Form) Get(name string) string { return f.fields[strings.ToLower(name)].value }

// gate lets only so many bytes through until it is opened.
type gate struct {
	src  io.Reader
	left int
	open bool
}

var errPreamble = errors.New("too much before the file")

func (g *gate) Read(p []byte) (int, error) {
	if g.open {
		return g.src.Read(p)
	}
	if g.left == 0 {
		return 0, errPreamble
	}
	n, err := g.src.Read(p[:min(len(p), g.left)])
	g.left -= n
	return n, err
}

// Parse reads the form of a request up to the beginning of its file. Its errors carry S3's codes.
func Parse(r *http.Request) (*Form, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return nil, s3err.PreconditionFailed.With("Condition", "Bucket POST must be of the enclosure-type multipart/form-data")
	}
	boundary := params["boundary"]
	if boundary == "" || len(boundary) > 70 {
		return nil, s3err.MalformedPOSTRequest
	}
	g := &gate{src: r.Body, left: maxPreamble}
	reader := multipart.NewReader(bufio.NewReaderSize(g, readAhead), boundary)
	f := &Form{fields: map[string]field{}}
	for total := 0; ; {
		part, err := reader.NextRawPart()
		if err == io.EOF {
			return nil, noFile()
		}
		if err != nil {
			return nil, readError(err)
		}
		name := part.FormName()
		if name == "" {
			return nil, s3err.MalformedPOSTRequest
		}
		if strings.EqualFold(name, "file") {
			f.FileName, f.FileType = part.FileName(), part.Header.Get("Content-Type")
			f.File = &File{part: part, max: -1}
			g.open = true
			break
		}
		value, err := io.ReadAll(io.LimitReader(part, int64(maxFields-total)+1))
		if err != nil {
			return nil, readError(err)
		}
		if total += len(name) + len(value); total > maxFields {
			return nil, s3err.MaxPostPreDataLengthExceededError
		}
		if err := f.add(name, string(value)); err != nil {
			return nil, err
		}
	}
	for lower, v := range f.fields {
		v.value = strings.ReplaceAll(v.raw, "${filename}", f.FileName)
		if isHeader(lower) && !text(v.value) {
			return nil, s3err.InvalidArgument.Msg("The name of the file cannot be in the form field %s.", v.name).With("ArgumentName", v.name)
		}
		f.fields[lower] = v
	}
	f.Key = f.Get("key")
	if f.Key == "" {
		return nil, s3err.InvalidArgument.Msg("Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.").
			With("ArgumentName", "key")
	}
	return f, nil
}

func noFile() error {
	return s3err.InvalidArgument.Msg("POST requires exactly one file upload per request.").With("ArgumentName", "file").With("ArgumentValue", "0")
}

func (f *Form) add(name, value string) error {
	lower := strings.ToLower(name)
	if _, twice := f.fields[lower]; twice {
		return s3err.InvalidArgument.Msg("The form field %s must be given once.", name).With("ArgumentName", name)
	}
	if isHeader(lower) && !(token(name) && text(value)) {
		return s3err.InvalidArgument.Msg("The form field %s is no valid header.", name).With("ArgumentName", name)
	}
	f.fields[lower] = field{name, value, value}
	return nil
}

func isHeader(lower string) bool { return !notHeaders[lower] && !strings.HasPrefix(lower, "x-ignore-") }

// token reports whether s may be a header's name.
func token(s string) bool {
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return true
}

// text reports whether s may be a header's value.
func text(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// readError says what a failure of the multipart reader means to S3, unless the source said so itself.
func readError(err error) error {
	if e, ok := s3err.From(err); ok {
		return e
	}
	switch {
	case errors.Is(err, errPreamble):
		return s3err.MaxPostPreDataLengthExceededError.Because(err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return s3err.RequestTimeout.Because(err)
	case errors.Is(err, io.ErrUnexpectedEOF), err == io.EOF:
		return s3err.IncompleteBody.Because(io.ErrUnexpectedEOF)
	}
	return s3err.MalformedPOSTRequest.Because(err)
}

// Signed reports whether the form carries a policy. One without is anonymous.
func (f *Form) Signed() bool {
	_, policy := f.fields["policy"]
	_, signature := f.fields["x-amz-signature"]
	_, algorithm := f.fields["x-amz-algorithm"]
	_, old := f.fields["awsaccesskeyid"]
	return policy || signature || algorithm || old
}

// Auth is what the form says of its signature. It fails for the signature of version 2.
func (f *Form) Auth() (sigv4.PolicyAuth, error) {
	if _, old := f.fields["awsaccesskeyid"]; old {
		return sigv4.PolicyAuth{}, s3err.InvalidRequest.Msg("The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
	}
	if f.Get("policy") == "" {
		return sigv4.PolicyAuth{}, s3err.InvalidArgument.Msg("Bucket POST must contain a field named 'policy'.  If it is specified, please check the order of the fields.").
			With("ArgumentName", "policy")
	}
	if f.Get("x-amz-algorithm")+f.Get("x-amz-credential")+f.Get("x-amz-date")+f.Get("x-amz-signature") == "" {
		return sigv4.PolicyAuth{}, s3err.AccessDenied
	}
	return sigv4.PolicyAuth{
		Algorithm:  f.Get("x-amz-algorithm"),
		Credential: f.Get("x-amz-credential"),
		Date:       f.Get("x-amz-date"),
		Signature:  f.Get("x-amz-signature"),
		Token:      f.Get("x-amz-security-token"),
		Policy:     f.fields["policy"].raw,
	}, nil
}

// notHeaders are the fields that say something of the form, not of the object.
var notHeaders = map[string]bool{
	"key": true, "policy": true, "file": true, "bucket": true, "submit": true,
	"x-amz-algorithm": true, "x-amz-credential": true, "x-amz-date": true, "x-amz-signature": true, "x-amz-security-token": true,
	"success_action_redirect": true, "redirect": true, "success_action_status": true,
}

// Header gives the fields that a PUT of the object would have as headers (Content-Type, x-amz-meta-…, x-amz-acl, …).
func (f *Form) Header() http.Header {
	h := http.Header{}
	for lower, v := range f.fields {
		switch {
		case !isHeader(lower):
		case lower == "acl":
			h.Set("X-Amz-Acl", v.value)
		case lower == "tagging":
			h.Set("X-Amz-Tagging", v.value)
		default:
			h.Set(v.name, v.value)
		}
	}
	return h
}
