package operator

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
)

func garage(t *testing.T) string {
	t.Helper()
	bin, err := deploy.Bin()
	require.NoError(t, err)
	return filepath.Join(bin, "garage")
}

// server is a standalone server started by hand.
type server struct {
	*running
	data, s3, admin string
}

func standalone(t *testing.T, data string, env []string, args ...string) *server {
	t.Helper()
	s := &server{data: data, s3: freeAddress(t), admin: freeAddress(t)}
	all := append([]string{"standalone", "--data", data, "--s3", s.s3, "--admin", s.admin}, args...)
	s.running = start(t, t.TempDir(), env, garage(t), all...)
	s.until("its address", time.Minute, func() bool {
		return strings.Contains(s.out.String(), s.s3) && exists(filepath.Join(data, "credentials.env"))
	})
	return s
}

func fetch(t *testing.T, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

// metric returns a value of /metrics, as it is written there.
func (s *server) metric(name string) string {
	s.t.Helper()
	token, err := os.ReadFile(filepath.Join(s.data, "admin.token"))
	require.NoError(s.t, err)
	_, text := fetch(s.t, "http://"+s.admin+"/metrics", strings.TrimSpace(string(token)))
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	s.t.Fatalf("no metric %s", name)
	return ""
}

// cli is what "garage ARGS --json" answers.
func (s *server) cli(args ...string) map[string]any {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), garage(s.t), append(args, "--json")...)
	cmd.Env = append(os.Environ(), "GARAGE_DATA="+s.data, "GARAGE_ADMIN="+s.admin)
	out, err := cmd.Output()
	require.NoError(s.t, err, "%v: %s", args, out)
	var answer map[string]any
	require.NoError(s.t, json.Unmarshal(out, &answer), "%s", out)
	return answer
}

func TestTheAdminServerAsksForItsToken(t *testing.T) {
	for name, env := range map[string][]string{"from the data folder": nil, "from the environment": {"GARAGE_ADMIN_TOKEN=a-token-of-my-own-that-is-long-enough"}} {
		t.Run(name, func(t *testing.T) {
			s := standalone(t, filepath.Join(t.TempDir(), "data"), env)
			token := "a-token-of-my-own-that-is-long-enough"
			if env == nil {
				path := filepath.Join(s.data, "admin.token")
				info, err := os.Stat(path)
				require.NoError(t, err)
				require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
				text, err := os.ReadFile(path)
				require.NoError(t, err)
				token = strings.TrimSpace(string(text))
			}
			s.until("a good health, which is open", time.Minute, func() bool {
				status, _ := fetch(t, "http://"+s.admin+"/healthz", "")
				require.Contains(t, []int{200, 503}, status)
				return status == 200
			})
			for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/goroutine?debug=1"} {
				for _, wrong := range []string{"", "wrong", token[:len(token)-1]} {
					status, body := fetch(t, "http://"+s.admin+path, wrong)
					require.Contains(t, []int{401, 403}, status, path)
					require.NotContains(t, body, "goroutine")
				}
				status, body := fetch(t, "http://"+s.admin+path, token)
				require.Equal(t, 200, status, path)
				require.NotEmpty(t, body)
			}
			_, metrics := fetch(t, "http://"+s.admin+"/metrics", token)
			require.Contains(t, metrics, "# TYPE ")
			require.NotContains(t, metrics, token)
			require.NotContains(t, s.out.String(), token, "a token is never logged")
		})
	}
}

func TestKeysOfTheCommandLine(t *testing.T) {
	s := standalone(t, filepath.Join(t.TempDir(), "data"), nil)
	access, secret := "GK0123456789abcdef01234567", strings.Repeat("0123456789abcdef", 4)
	require.Equal(t, access, s.cli("key", "import", "imported", access, secret, "--create-buckets")["access_key"])
	client := s3client.New(s3client.Endpoint{URL: "http://" + s.s3, AccessKey: access, SecretKey: secret, Region: "garage"}, 1)
	answers(t, client, 200, s3client.Request{Method: "PUT", Bucket: "mine"})
	info := s.cli("bucket", "info", "mine")
	require.Equal(t, "mine", info["name"])
	require.NotEmpty(t, info["grants"], "who makes a bucket has rights on it")
	require.Equal(t, true, s.cli("status")["healthy"])

	cmd := exec.CommandContext(t.Context(), garage(t), "bucket", "info", "none", "--admin", s.admin, "--data", s.data)
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "none", "an error names what it is about")
}

func TestAFolderOfANewerFormatIsRefused(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := standalone(t, data, nil)
	s.interrupt()
	path := filepath.Join(data, "garage.json")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	newer := strings.Replace(string(text), `"format": 1`, `"format": 999`, 1)
	require.NotEqual(t, string(text), newer)
	require.NoError(t, os.WriteFile(path, []byte(newer), 0o600))
	out, err := exec.CommandContext(t.Context(), garage(t), "standalone", "--data", data, "--s3", freeAddress(t), "--admin", freeAddress(t)).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "999")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	standalone(t, data, nil).interrupt()
}

func TestTwoServersDoNotShareAFolder(t *testing.T) {
	s := standalone(t, filepath.Join(t.TempDir(), "data"), nil)
	out, err := exec.CommandContext(t.Context(), garage(t), "standalone", "--data", s.data, "--s3", freeAddress(t), "--admin", freeAddress(t)).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), s.data)
}

func TestMistakesInSettingsNameTheSetting(t *testing.T) {
	config := filepath.Join(t.TempDir(), "garage.yaml")
	require.NoError(t, os.WriteFile(config, []byte("s3:\n  regoin: x\n"), 0o600))
	for _, c := range []struct {
		names string
		env   []string
		args  []string
	}{
		{"s3-chunk-size", nil, []string{"--s3-chunk-size", "1KiB"}},
		{"chunk-grace", nil, []string{"--chunk-grace", "soon"}},
		{"GARAGE_S3_CHUNK_SIZE", []string{"GARAGE_S3_CHUNK_SIZE=large"}, nil},
		{"regoin", nil, []string{"--config", config}},
		{"no-such-flag", nil, []string{"--no-such-flag"}},
		{"s3", nil, []string{"--s3", "nowhere"}},
	} {
		args := append([]string{"standalone", "--data", filepath.Join(t.TempDir(), "data"), "--s3", freeAddress(t), "--admin", freeAddress(t)}, c.args...)
		cmd := exec.CommandContext(t.Context(), garage(t), args...)
		cmd.Env = append(os.Environ(), c.env...)
		out, err := cmd.CombinedOutput()
		require.Error(t, err, c.names)
		plain := strings.NewReplacer(".", "-", "_", "-").Replace(strings.ToLower(string(out)))
		require.Contains(t, plain, strings.NewReplacer("_", "-").Replace(strings.ToLower(c.names)), "%s", out)
	}
}

// certificate writes a self-signed certificate for 127.0.0.1 with this serial number.
func certificate(t *testing.T, dir string, serial int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "garage"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: encoded}} {
		require.NoError(t, os.WriteFile(path+".new", pem.EncodeToMemory(block), 0o600))
		require.NoError(t, os.Rename(path+".new", path))
	}
	return cert, key
}

func TestCertificatesAreReadAgainWhenTheyChange(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, 1)
	s := standalone(t, filepath.Join(t.TempDir(), "data"), nil, "--s3-tls-cert", cert, "--s3-tls-key", key, "--admin-tls-cert", cert, "--admin-tls-key", key)
	serials := func() (all []int64) {
		for _, address := range []string{s.s3, s.admin} {
			// The test looks at the certificate itself.
			conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
			require.NoError(t, err)
			all = append(all, conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64())
			require.NoError(t, conn.Close())
		}
		return all
	}
	require.Equal(t, []int64{1, 1}, serials())
	certificate(t, dir, 2)
	require.Eventually(t, func() bool { now := serials(); return now[0] == 2 && now[1] == 2 }, 30*time.Second, 50*time.Millisecond)
}
