package console

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	unsigned = "UNSIGNED-PAYLOAD"
	// maxS3Error is how much of an error of S3 is read, and maxTold of another document, of which a listing is the longest.
	maxS3Error = 64 << 10
	maxTold    = 16 << 20
)

// s3Request is a request to S3, in the name of a key.
type s3Request struct {
	method string
	key    string // the access key, or its name
	bucket string
	object string // empty: it is about the bucket
	query  url.Values
	header http.Header
	body   io.Reader
	length int64 // of the body
}

func (c *Console) endpoint(ctx context.Context) (*url.URL, error) {
	if c.config.S3Endpoint != "" {
		return endpoint(c.config.S3Endpoint)
	}
	if c.deps.S3 == nil {
		return nil, errors.E(errors.PreconditionFailed, errors.Setting, "console.s3-endpoint", "it is not known where S3 answers: set it to the URL of a gateway")
	}
	return c.deps.S3(ctx)
}

// access finds out where S3 answers, and the credentials of a key.
func (c *Console) access(ctx context.Context, key string) (*url.URL, aws.Credentials, error) {
	if key == "" {
		return nil, aws.Credentials{}, errors.Newf(errors.Invalid, "choose an access key: objects are read and written with its rights")
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	server, err := c.endpoint(ctx)
	if err != nil {
		return nil, aws.Credentials{}, err
	}
	accessKey, secret, err := c.deps.Credentials(ctx, key)
	return server, aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secret}, err
}

// prepare makes the request to a server, without a signature.
func (r s3Request) prepare(ctx context.Context, server *url.URL) (*http.Request, error) {
	if r.bucket == "" {
		return nil, errors.Newf(errors.Invalid, "say which bucket")
	}
	if strings.Contains(r.bucket, "/") {
		return nil, errors.Newf(errors.Invalid, "%q is no name of a bucket: it has a slash", r.bucket)
	}
	u := *server
	u.Path = "/" + r.bucket
	if r.object != "" {
		u.Path += "/" + r.object
	}
	u.RawPath = escape(u.Path)
	// S3 wants each space as %20, and so does the signature.
	u.RawQuery = strings.ReplaceAll(r.query.Encode(), "+", "%20")
	body := r.body
	if r.length == 0 {
		body = http.NoBody // so that it is known that nothing comes
	}
	request, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		return nil, errors.Wrap(errors.Invalid, err, "the request to S3")
	}
	request.URL = &u // as it is: parsing it again may tidy it up
	request.ContentLength = r.length
	for name, values := range r.header {
		request.Header[name] = values
	}
	return request, nil
}

// escape writes a path as it is signed: all but unreserved characters and slashes as %XX.
func escape(path string) string {
	var b strings.Builder
	for i := range len(path) {
		switch ch := path[i]; {
		case 'a' <= ch && ch <= 'z', 'A' <= ch && ch <= 'Z', '0' <= ch && ch <= '9', strings.IndexByte("-._~/", ch) >= 0:
			b.WriteByte(ch)
		default:
			const hex = "0123456789ABCDEF"
			b.Write([]byte{'%', hex[ch>>4], hex[ch&15]})
		}
	}
	return b.String()
}

func signer() *v4.Signer {
	return v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
}

// ask sends a request to S3. What is not answered with 2xx is an error; otherwise the caller closes the body. Where no body of an object goes
// either way, ctx has a deadline.
func (c *Console) ask(ctx context.Context, r s3Request) (*http.Response, error) {
	server, who, err := c.access(ctx, r.key)
	if err != nil {
		return nil, err
	}
	request, err := r.prepare(ctx, server)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-Amz-Content-Sha256", unsigned)
	if err := signer().SignHTTP(ctx, who, request, unsigned, "s3", c.config.S3Region, c.deps.Clock.Now()); err != nil {
		return nil, errors.Wrap(errors.Internal, err, "signing the request")
	}
	answer, err := c.s3.Do(request)
	if wrong := (*tls.CertificateVerificationError)(nil); errors.As(err, &wrong) {
		return nil, errors.Wrap(errors.Unavailable, wrong, "S3 at %s is not known by its certificate: set console.s3-ca to its authority, and console.s3-name to the name that it has", server.Host)
	}
	if err != nil {
		return nil, errors.Wrap(errors.Unavailable, err, "S3 at %s gives no answer", server.Host)
	}
	if answer.StatusCode/100 == 2 {
		return answer, nil
	}
	defer answer.Body.Close()
	return nil, s3Error(answer)
}

// askDocument sends a request to S3 that it answers with a document, and reads that.
func (c *Console) askDocument(ctx context.Context, r s3Request, into any) error {
	ctx, cancel := context.WithTimeout(ctx, c.callTimeout)
	defer cancel()
	reply, err := c.ask(ctx, r)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	content, err := io.ReadAll(io.LimitReader(reply.Body, maxTold))
	if err == nil {
		// Of what takes long S3 may say only after it has begun to answer that it failed.
		if said := (s3Refusal{}); xml.Unmarshal(content, &said) == nil {
			return said.as(http.StatusInternalServerError)
		}
		err = xml.Unmarshal(content, into)
	}
	return errors.Wrap(errors.Unavailable, err, "the answer of S3 cannot be read")
}

// s3Refusal is an error of S3.
type s3Refusal struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
}

// s3Error is what S3 says against a request.
func s3Error(answer *http.Response) error {
	var said s3Refusal
	if err := xml.NewDecoder(io.LimitReader(answer.Body, maxS3Error)).Decode(&said); err != nil || said.Code == "" {
		said.Code, said.Message = answer.Status, "S3 does not say why"
	}
	return said.as(answer.StatusCode)
}

func (said s3Refusal) as(status int) error {
	kind := errors.Internal
	switch status {
	case http.StatusBadRequest:
		kind = errors.Invalid
	case http.StatusForbidden:
		kind = errors.PermissionDenied
	case http.StatusNotFound:
		kind = errors.NotFound
	case http.StatusConflict:
		kind = errors.Conflict
	case http.StatusPreconditionFailed:
		kind = errors.PreconditionFailed
	case http.StatusServiceUnavailable:
		kind = errors.Unavailable
	}
	return errors.Newf(kind, "S3 refuses (%s): %s", said.Code, said.Message)
}

// presign returns an address of an object that is good for anybody, for as long as X-Amz-Expires of the query says.
func (c *Console) presign(ctx context.Context, r s3Request) (string, error) {
	server, who, err := c.access(ctx, r.key)
	if err == nil && c.config.ShareEndpoint != "" {
		server, err = endpoint(c.config.ShareEndpoint)
	}
	if err != nil {
		return "", err
	}
	request, err := r.prepare(ctx, server)
	if err != nil {
		return "", err
	}
	link, _, err := signer().PresignHTTP(ctx, who, request, unsigned, "s3", c.config.S3Region, c.deps.Clock.Now())
	return link, errors.Wrap(errors.Internal, err, "signing the link")
}
