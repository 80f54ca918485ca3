package deploy

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"deuxfleurs.fr/garage/tools/s3client"
)

// Flags that every suite takes after -args.
var (
	kind     = flag.String("deployment", Standalone, "where the suite runs: standalone, nodes, cluster or external")
	cluster  = flag.String("cluster", "", "data folder of a cluster that runs already, for the deployment cluster; it stays up")
	endpoint = flag.String("endpoint", "http://127.0.0.1:4566", "URL of the external endpoint")
	access   = flag.String("access-key", "000000000001", "access key of the external endpoint")
	secret   = flag.String("secret-key", "secret", "secret key of the external endpoint")
	region   = flag.String("region", "us-east-1", "region of the external endpoint")
)

// Kind returns the deployment that the suite was asked to run on. Valid once flags are parsed.
func Kind() string { return *kind }

// ForTest starts the deployment that the flags ask for and stops it when the test ends. When the test fails, the ends of
// the logs go to the test's log.
func ForTest(t testing.TB, env ...string) *Deployment {
	t.Helper()
	d, closeAll, err := start(env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(d.Tail(60))
		}
		if err := closeAll(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Main is the TestMain of a suite whose tests share one deployment: use gets it before the tests run. The settings are
// added to the environment of its processes, as NAME=value.
func Main(m *testing.M, use func(*Deployment), env ...string) {
	flag.Parse()
	os.Exit(func() int {
		d, closeAll, err := start(env)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		use(d)
		code := m.Run()
		if code != 0 {
			fmt.Fprintln(os.Stderr, d.Tail(60))
		}
		if err := closeAll(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

func start(env []string) (*Deployment, func() error, error) {
	dir, err := os.MkdirTemp("", "garage-test-")
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	d, err := Start(ctx, Options{
		Kind: *kind, Dir: dir, Env: env, Cluster: *cluster,
		External: s3client.Endpoint{URL: *endpoint, AccessKey: *access, SecretKey: *secret, Region: *region},
	})
	if err != nil {
		return nil, nil, err
	}
	return d, func() error {
		if err := d.Close(); err != nil {
			return err
		}
		return os.RemoveAll(dir)
	}, nil
}
