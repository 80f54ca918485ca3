// Package credentials makes the access key of a first start and the file that hands it to S3 clients.
//
// Invariant: a crash at any point leaves either no key and no file, or a state that the next start
// completes to one key and the file with that key. Who deletes the key but keeps the file does not get
// the key back.
package credentials

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"deuxfleurs.fr/garage/pkg/accesskey"
	"deuxfleurs.fr/garage/pkg/adminserver"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/datafolder"
	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	// File is the name of the file in the data folder.
	File = "credentials.env"
	// KeyName is the name of the first key.
	KeyName = "first"

	pendingFile = File + ".new"
)

// Key is an access key and its secret.
type Key struct {
	AccessKey string
	Secret    string
}

// Endpoint is where S3 clients find the server.
type Endpoint struct {
	URL    string
	Region string
}

// Deps are what Ensure works with.
type Deps struct {
	// HasKeys tells whether there is any key.
	HasKeys func(ctx context.Context) (bool, error)
	// Add adds a key that may create buckets; adding the same key again is no error.
	Add func(ctx context.Context, k Key) error
	// Random is where a new key comes from.
	Random clock.Random
}

// Ensure makes the first key and its file if there is neither, and brings the file's endpoint up to
// date. made tells whether a key was made.
func Ensure(ctx context.Context, folder string, e Endpoint, d Deps) (made bool, err error) {
	path, pending := filepath.Join(folder, File), filepath.Join(folder, pendingFile)
	if key, found, err := read(path); err != nil || found {
		if err != nil {
			return false, err
		}
		return false, errors.Join(write(path, key, e), removeIfThere(pending))
	}
	key, found, err := read(pending)
	if err != nil {
		return false, err
	}
	if !found {
		if has, err := d.HasKeys(ctx); err != nil || has {
			return false, err
		}
		if key.AccessKey, key.Secret, err = accesskey.Generate(d.Random); err != nil {
			return false, errors.Wrap(errors.Internal, err, "drawing the first access key")
		}
		if err := write(pending, key, e); err != nil {
			return false, err
		}
	}
	if err := d.Add(ctx, key); err != nil {
		return false, errors.Annotate(err, "the first access key cannot be made")
	}
	if err := write(path, key, e); err != nil {
		return false, err
	}
	return true, removeIfThere(pending)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

const template = `export AWS_ACCESS_KEY_ID=%s
export AWS_SECRET_ACCESS_KEY=%s
export AWS_ENDPOINT_URL=%s
export AWS_REGION=%s
export AWS_DEFAULT_REGION=%s
`

// write writes the file unless it already says the same.
func write(path string, k Key, e Endpoint) error {
	content := fmt.Sprintf(template, k.AccessKey, k.Secret, e.URL, e.Region, e.Region)
	if there, err := os.ReadFile(path); err == nil && string(there) == content {
		return nil
	}
	if err := datafolder.WriteFile(path, []byte(content), 0o600); err != nil {
		return errors.Wrap(errors.Internal, err, "writing the first access key")
	}
	return nil
}

func read(path string) (Key, bool, error) {
	content, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return Key{}, false, nil
	}
	if err != nil {
		return Key{}, false, errors.Wrap(errors.Internal, err, "reading the first access key")
	}
	var k Key
	for line := range strings.Lines(string(content)) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		switch name {
		case "AWS_ACCESS_KEY_ID":
			k.AccessKey = value
		case "AWS_SECRET_ACCESS_KEY":
			k.Secret = value
		}
	}
	if k.AccessKey == "" || k.Secret == "" {
		return Key{}, false, errors.Newf(errors.Invalid, "%s holds no access key; remove it, and make a key with: garage key create NAME", path)
	}
	return k, true, nil
}

// EndpointURL is how a client on this machine reaches an S3 server that listens on address.
func EndpointURL(address string, secure bool) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = address, ""
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// Welcome tells a person where the server is and what to try first.
func Welcome(folder, endpoint, admin, console string, made bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nGarage is ready.\n  S3       %s\n  admin    %s\n  console  %s (sign in with the token in %s)\n", endpoint, admin, console, filepath.Join(folder, adminserver.TokenFile))
	if made {
		fmt.Fprintf(&b, "A first access key, which may create buckets, is in %s\n", filepath.Join(folder, File))
	}
	if _, err := os.Stat(filepath.Join(folder, File)); err == nil {
		fmt.Fprintf(&b, "Try:\n  . %s && aws s3 mb s3://first && echo hello | aws s3 cp - s3://first/hello.txt && aws s3 ls s3://first\n", filepath.Join(folder, File))
	}
	b.WriteString("\n")
	return b.String()
}
