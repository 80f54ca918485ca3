package operator

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
)

// output collects what a process prints, for reading while it runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// running is a program in the foreground, as in a terminal.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	out   output
	ended chan error
}

// start starts a program in the foreground of a process group of its own.
func start(t *testing.T, dir string, env []string, name string, args ...string) *running {
	t.Helper()
	r := &running{t: t, cmd: exec.Command(name, args...), ended: make(chan error, 1)}
	r.cmd.Dir, r.cmd.Env, r.cmd.Stdout, r.cmd.Stderr = dir, append(os.Environ(), env...), &r.out, &r.out
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, r.cmd.Start())
	go func() { r.ended <- r.cmd.Wait() }()
	t.Cleanup(func() {
		if r.cmd.ProcessState == nil {
			_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
			<-r.ended
		}
	})
	return r
}

// until waits until the condition is true while the program runs.
func (r *running) until(what string, within time.Duration, condition func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(within)
	for !condition() {
		select {
		case err := <-r.ended:
			r.ended <- err
			r.t.Fatalf("it ended (%v) before %s:\n%s", err, what, r.out.String())
		case <-time.After(20 * time.Millisecond):
		}
		require.True(r.t, time.Now().Before(deadline), "no %s in %v:\n%s", what, within, r.out.String())
	}
}

// interrupt is Ctrl-C in the terminal: the signal goes to the whole foreground group.
func (r *running) interrupt() {
	r.t.Helper()
	require.NoError(r.t, syscall.Kill(-r.cmd.Process.Pid, syscall.SIGINT))
	select {
	case err := <-r.ended:
		r.ended <- err
	case <-time.After(time.Minute):
		r.t.Fatalf("it still runs a minute after Ctrl-C:\n%s", r.out.String())
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	a, err := deploy.FreeAddress()
	require.NoError(t, err)
	return a
}

// credentials reads the file as a shell would, after checking each line of it.
func credentials(t *testing.T, data, s3 string) s3client.Endpoint {
	t.Helper()
	path := filepath.Join(data, "credentials.env")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "export ")
		require.True(t, ok, "one export a line: %q", line)
		name, value, ok := strings.Cut(rest, "=")
		require.True(t, ok, "%q", line)
		values[name] = value
	}
	require.Len(t, values, 5)
	require.Equal(t, "http://"+s3, values["AWS_ENDPOINT_URL"])
	require.Equal(t, "garage", values["AWS_REGION"])
	require.Equal(t, "garage", values["AWS_DEFAULT_REGION"])
	return s3client.Endpoint{
		URL: values["AWS_ENDPOINT_URL"], AccessKey: values["AWS_ACCESS_KEY_ID"], SecretKey: values["AWS_SECRET_ACCESS_KEY"], Region: values["AWS_REGION"],
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func answers(t *testing.T, c *s3client.Client, status int, r s3client.Request) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	resp, err := c.Do(ctx, r)
	require.NoError(t, err)
	require.Equal(t, status, resp.Status, "%s /%s/%s: %s %s", r.Method, r.Bucket, r.Key, resp.Code, resp.Message)
	return resp.Body
}

func TestMakeRunKeepsWhatIsStored(t *testing.T) {
	root, err := deploy.Root()
	require.NoError(t, err)
	for _, target := range []string{"run", "run-nodes"} {
		t.Run("make "+target, func(t *testing.T) {
			data, s3, admin := filepath.Join(t.TempDir(), "data"), freeAddress(t), freeAddress(t)
			var first s3client.Endpoint
			body := bytes.Repeat([]byte("kept over a restart "), 20_000)
			for round := range 2 {
				r := start(t, root, nil, "make", target, "DATA="+data, "S3="+s3, "ADMIN="+admin)
				r.until("word of where it listens", 5*time.Minute, func() bool {
					return exists(filepath.Join(data, "credentials.env")) && strings.Contains(r.out.String(), s3) && strings.Contains(r.out.String(), admin)
				})
				e := credentials(t, data, s3)
				client := s3client.New(e, 1)
				if round == 0 {
					first = e
					require.Contains(t, r.out.String(), "aws s3 mb", "a first command to try")
					answers(t, client, 200, s3client.Request{Method: "PUT", Bucket: "first"})
					answers(t, client, 200, s3client.Request{Method: "PUT", Bucket: "first", Key: "key", Body: body})
				}
				require.Equal(t, first, e, "the first key stays")
				require.Equal(t, body, answers(t, client, 200, s3client.Request{Method: "GET", Bucket: "first", Key: "key"}))
				r.interrupt()
				_, err := net.DialTimeout("tcp", s3, time.Second)
				require.Error(t, err, "nothing listens after the stop")
			}
		})
	}
}
