package adminserver

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"os"
	"strings"

	"deuxfleurs.fr/garage/pkg/datafolder"
	"deuxfleurs.fr/garage/pkg/errors"
)

const (
	// TokenFile is the token's name in the data folder.
	TokenFile = "admin.token"
	// AddressFile in the data folder tells tools on the same machine where the server listens.
	AddressFile = "admin.address"
	// TokenEnv is the environment variable that overrides the file.
	TokenEnv = "GARAGE_ADMIN_TOKEN"

	minToken = 16
)

// Token returns the token: override if it is not empty, else the content of the file at path, which
// is made with 32 random bytes (in hexadecimal, mode 0600) when it does not exist.
func Token(path, override string) (string, error) {
	if override != "" {
		if len(override) < minToken {
			return "", errors.E(errors.Invalid, errors.Setting, TokenEnv, "the token has %d characters; at least %d are needed", len(override), minToken)
		}
		return override, nil
	}
	token, err := ReadToken(path)
	if !os.IsNotExist(errors.Unwrap(err)) {
		return token, err
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return "", errors.Wrap(errors.Internal, err, "the admin token cannot be made")
	}
	token = hex.EncodeToString(secret)
	if err := datafolder.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		return "", errors.Wrap(errors.Internal, err, "the admin token cannot be written")
	}
	return token, nil
}

// ReadToken reads the file at path. The error wraps the file system's.
func ReadToken(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", errors.Wrap(errors.Unauthenticated, err, "the admin token cannot be read")
	}
	token := strings.TrimSpace(string(content))
	if len(token) < minToken {
		return "", errors.Newf(errors.Invalid, "the admin token in %s has %d characters; at least %d are needed: remove the file to have one made", path, len(token), minToken)
	}
	return token, nil
}

// sameToken compares in a time that does not depend on the content.
func sameToken(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
