package config

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

type sample struct {
	Data string `conf:"data" help:"folder"`
	S3   struct {
		Listen string        `conf:"listen" help:"address"`
		Idle   time.Duration `conf:"idle-timeout" help:"idle" min:"1s" max:"1h"`
	} `conf:"s3"`
	Memory  Size     `conf:"memory" help:"memory" min:"16MiB"`
	Mode    string   `conf:"mode" help:"mode" allowed:"fast,safe"`
	Sync    bool     `conf:"sync" help:"sync"`
	Disks   []string `conf:"disks" help:"folders"`
	Workers int      `conf:"workers" help:"workers"`
	Token   Secretly `conf:"token" help:"token" secret:"true"`
}

// Secretly accepts one value only.
type Secretly string

func (s *Secretly) UnmarshalText(b []byte) error {
	if string(b) == "bad-secret" {
		return errSize
	}
	*s = Secretly(b)
	return nil
}

func (s *sample) Validate() error {
	if s.Workers > 7 {
		return Invalid("workers", "%d is more than the 7 there are", s.Workers)
	}
	return nil
}

func defaults() *sample {
	s := &sample{Data: "var/garage", Memory: 256 * MiB, Mode: "safe", Sync: true}
	s.S3.Listen = "127.0.0.1:3900"
	s.S3.Idle = time.Minute
	return s
}

func load(t *testing.T, yaml string, environ []string, args ...string) (*sample, *Loader, error) {
	t.Helper()
	s := defaults()
	l := New(s)
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	l.AddFlags(fs)
	if yaml != "" {
		path := filepath.Join(t.TempDir(), "garage.yaml")
		require.NoError(t, os.WriteFile(path, []byte(yaml), 0o600))
		args = append(args, "--config", path)
	}
	require.NoError(t, fs.Parse(args))
	return s, l, l.Load(environ)
}

func TestLaterSourcesWin(t *testing.T) {
	s, l, err := load(t, "data: /from/file\nmode: fast\ns3:\n  listen: file:1\n  idle-timeout: 5s\n",
		[]string{"GARAGE_DATA=/from/env", "GARAGE_S3_LISTEN=env:1", "OTHER=1", "GARAGE_NEW=1", "GARAGE_MODE="}, "--data", "/from/flag")
	require.NoError(t, err)
	require.Equal(t, "/from/flag", s.Data)
	require.Equal(t, "env:1", s.S3.Listen)
	require.Equal(t, 5*time.Second, s.S3.Idle)
	require.Equal(t, "fast", s.Mode)
	require.Equal(t, 256*MiB, s.Memory)
	require.Equal(t, "flag --data", l.Source("data"))
	require.Equal(t, "environment variable GARAGE_S3_LISTEN", l.Source("s3.listen"))
	require.Equal(t, "default", l.Source("memory"))
	require.Equal(t, []string{"GARAGE_NEW"}, l.UnknownEnv())
}

func TestKindsOfValue(t *testing.T) {
	s, _, err := load(t, "memory: 1.5GiB\ndisks: [/a, /b]\nworkers: 3\nsync: false\n", []string{"GARAGE_TOKEN=x"})
	require.NoError(t, err)
	require.Equal(t, 1536*MiB, s.Memory)
	require.Equal(t, []string{"/a", "/b"}, s.Disks)
	require.Equal(t, 3, s.Workers)
	require.False(t, s.Sync)
	require.Equal(t, Secretly("x"), s.Token)
	s, _, err = load(t, "", []string{"GARAGE_DISKS=/a, /b"}, "--sync=false", "--memory=33554432")
	require.NoError(t, err)
	require.Equal(t, []string{"/a", "/b"}, s.Disks)
	require.Equal(t, 32*MiB, s.Memory)
	require.False(t, s.Sync)
}

func TestErrorsNameTheSettingTheSourceAndWhatIsAllowed(t *testing.T) {
	for name, c := range map[string]struct {
		yaml    string
		environ []string
		args    []string
		want    []string
	}{
		"unit missing":   {args: []string{"--s3-idle-timeout", "5"}, want: []string{"s3.idle-timeout", "flag --s3-idle-timeout", `"5"`, "30s"}},
		"too small":      {environ: []string{"GARAGE_MEMORY=1KiB"}, want: []string{"memory", "GARAGE_MEMORY", "at least 16MiB"}},
		"too large":      {args: []string{"--s3-idle-timeout", "2h"}, want: []string{"at most 1h"}},
		"not allowed":    {yaml: "mode: wild", want: []string{"mode", "garage.yaml", `"wild"`, "fast, safe"}},
		"not a size":     {yaml: "memory: lots", want: []string{"memory", "256MiB"}},
		"negative size":  {yaml: "memory: -1", want: []string{"memory"}},
		"unknown key":    {yaml: "s3: {lisen: x}", want: []string{`unknown setting "s3.lisen"`, "s3.listen"}},
		"unknown top":    {yaml: "foo: 1", want: []string{`unknown setting "foo"`, "data"}},
		"not one value":  {yaml: "data: [1]", want: []string{"data", "a single value"}},
		"not a list":     {yaml: "disks: {a: 1}", want: []string{`unknown setting "disks.a"`}},
		"not yaml":       {yaml: "a: [", want: []string{"garage.yaml"}},
		"validated":      {args: []string{"--workers", "9"}, want: []string{"workers", "flag --workers", "more than the 7"}},
		"not a number":   {args: []string{"--workers", "9.5"}, want: []string{"a whole number"}},
		"missing file":   {args: []string{"--config", "/nonexistent/x.yaml"}, want: []string{"/nonexistent/x.yaml"}},
		"bool":           {environ: []string{"GARAGE_SYNC=maybe"}, want: []string{"true or false"}},
		"secrets hidden": {environ: []string{"GARAGE_TOKEN=bad-secret"}, want: []string{"token", "GARAGE_TOKEN"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := load(t, c.yaml, c.environ, c.args...)
			require.Error(t, err)
			for _, w := range c.want {
				require.Contains(t, err.Error(), w)
			}
			require.NotContains(t, err.Error(), "bad-secret")
		})
	}
}

func TestConfigFileFromTheEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "g.yaml")
	require.NoError(t, os.WriteFile(path, []byte("data: x\ns3:\n"), 0o600))
	s, _, err := load(t, "", []string{"GARAGE_CONFIG=" + path})
	require.NoError(t, err)
	require.Equal(t, "x", s.Data)
}

func TestHelpShowsDefaultsAndHidesSecrets(t *testing.T) {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	New(defaults()).AddFlags(fs)
	var out bytes.Buffer
	fs.SetOutput(&out)
	fs.PrintDefaults()
	require.Contains(t, out.String(), "--memory size")
	require.Contains(t, out.String(), "256MiB")
	require.Contains(t, out.String(), "--s3-idle-timeout duration")
	require.NotContains(t, out.String(), "token")
}

func TestSizeText(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "1KiB": 1024, "3 MB": 3e6, "1.5KiB": 1536, "7B": 7, "2TiB": 2 * TiB} {
		got, err := ParseSize(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	}
	require.Equal(t, "256MiB", (256 * MiB).String())
	require.Equal(t, "1000B", Size(1000).String())
	for _, text := range []string{"", "x", "-1", "1e30TiB", "NaNKiB", "1.5"} {
		_, err := ParseSize(text)
		require.Error(t, err, text)
	}
}
