package tlsfiles

import (
	"crypto/x509"
	"fmt"
	"os"
)

// Authorities are those whose certificates are in a PEM file; nil, which means those of the system, if path is empty.
func Authorities(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // it is what crypto/tls wants
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	all := x509.NewCertPool()
	if !all.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return all, nil
}
