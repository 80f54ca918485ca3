package tlsfiles

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// issue writes a self-signed certificate with the serial number to the two files.
func issue(t *testing.T, files Config, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	write(t, files.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), serial)
	write(t, files.Key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), serial)
}

// write gives the file a modification time of its own, since file systems may have coarse clocks.
func write(t *testing.T, path string, content []byte, serial int64) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, content, 0o600))
	require.NoError(t, os.Chtimes(path, time.Time{}, time.Unix(1_000_000+serial, 0)))
}

func TestARenewedCertificateIsServedAndABrokenOneIsNot(t *testing.T) {
	dir := t.TempDir()
	files := Config{Cert: filepath.Join(dir, "c.pem"), Key: filepath.Join(dir, "k.pem")}
	issue(t, files, 1)
	var logged bytes.Buffer
	now := time.Unix(0, 0)
	c, err := Load(files, slog.New(slog.NewTextHandler(&logged, nil)), func() time.Time { return now })
	require.NoError(t, err)
	serial := func() int64 {
		got, err := c.Server("h2").GetCertificate(nil)
		require.NoError(t, err)
		return got.Leaf.SerialNumber.Int64()
	}
	require.EqualValues(t, 1, serial())

	issue(t, files, 2)
	require.EqualValues(t, 1, serial(), "not looked at twice within the interval")
	now = now.Add(CheckInterval)
	require.EqualValues(t, 2, serial())

	write(t, files.Key, []byte("broken"), 3)
	for range 3 {
		now = now.Add(CheckInterval)
		require.EqualValues(t, 2, serial())
	}
	require.Equal(t, 1, bytes.Count(logged.Bytes(), []byte("cannot be renewed")), "said once")

	require.NoError(t, os.Remove(files.Cert))
	now = now.Add(CheckInterval)
	require.EqualValues(t, 2, serial())

	issue(t, files, 4)
	now = now.Add(CheckInterval)
	require.EqualValues(t, 4, serial())
}

func TestWhatCannotBeUsedIsRefusedAtStart(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(Config{Cert: "x"}, slog.Default(), nil)
	require.Error(t, err)
	_, err = Load(Config{Cert: filepath.Join(dir, "none"), Key: filepath.Join(dir, "none")}, slog.Default(), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Error(t, (&Config{Cert: "x"}).Validate())
	require.Error(t, (&Config{Key: "x"}).Validate())
	require.NoError(t, (&Config{}).Validate())
	require.False(t, Config{}.Enabled())
}
