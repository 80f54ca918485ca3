package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/s3client"
)

// target is a service to measure.
type target struct {
	name     string
	endpoint s3client.Endpoint
	bucket   string
	// processes are the server's; none when they are not known, and then CPU and memory are left blank.
	processes []*deploy.Process
	// signed says that payloads are part of the signatures.
	signed bool
	// inline is the size up to which bodies are kept in the metadata; zero if the ways that bodies take are not known.
	inline int
	close  func() error
}

// startGarage starts a deployment named kind or kind-nosync.
func startGarage(ctx context.Context, name, dir string) (*target, error) {
	kind, fsync := strings.CutSuffix(name, "-nosync")
	o := deploy.Options{Kind: kind, Dir: filepath.Join(dir, name)}
	if fsync {
		o.Env = []string{"GARAGE_CHUNK_FSYNC=false", "GARAGE_METADATA_FSYNC=false"}
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	d, err := deploy.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	t := &target{name: name, endpoint: d.Endpoint, processes: d.Processes(), inline: 4 << 10, close: d.Close}
	if kind == deploy.Cluster {
		t.inline = 1 << 10 // rows of the database are dearer
	}
	return t, t.makeBucket(ctx)
}

// otherEndpoint reads NAME=URL,ACCESS,SECRET[,REGION[,PID+PID]].
func otherEndpoint(ctx context.Context, text string) (*target, error) {
	name, rest, ok := strings.Cut(text, "=")
	fields := strings.Split(rest, ",")
	if !ok || len(fields) < 3 || len(fields) > 5 {
		return nil, fmt.Errorf("endpoint %q: write NAME=URL,ACCESS,SECRET[,REGION[,PID+PID]]", text)
	}
	t := &target{name: name, close: func() error { return nil }}
	t.endpoint = s3client.Endpoint{URL: fields[0], AccessKey: fields[1], SecretKey: fields[2], Region: "us-east-1"}
	if len(fields) > 3 && fields[3] != "" {
		t.endpoint.Region = fields[3]
	}
	if len(fields) > 4 {
		for _, pid := range strings.Split(fields[4], "+") {
			n, err := strconv.Atoi(pid)
			if err != nil {
				return nil, fmt.Errorf("endpoint %q: %w", text, err)
			}
			t.processes = append(t.processes, &deploy.Process{Name: name, PID: n})
		}
	}
	return t, t.makeBucket(ctx)
}

func (t *target) makeBucket(ctx context.Context) error {
	t.bucket = fmt.Sprintf("bench-%d", runID%1e9)
	client := s3client.New(t.endpoint, 1)
	defer client.HTTP.CloseIdleConnections()
	resp, err := client.Do(ctx, s3client.Request{Method: "PUT", Bucket: t.bucket})
	if err == nil && resp.Status != 200 {
		err = fmt.Errorf("%s: create bucket %s: %d %s", t.name, t.bucket, resp.Status, resp.Code)
	}
	if err != nil {
		return errors.Join(err, t.close())
	}
	return nil
}

// usage sums what the server's processes took.
func (t *target) usage() (sum deploy.Usage, err error) {
	for _, p := range t.processes {
		u, err := p.Usage()
		if err != nil {
			return sum, err
		}
		sum.CPU += u.CPU
		sum.Resident += u.Resident
		sum.Peak += u.Peak
	}
	return sum, nil
}

func (t *target) resetPeak() error {
	for _, p := range t.processes {
		if err := p.ResetPeak(); err != nil {
			return fmt.Errorf("begin to measure the memory of %s: %w", p.Name, err)
		}
	}
	return nil
}

// way says where a body of this size goes by default.
func (t *target) way(size int) string {
	switch {
	case t.inline == 0 || size == 0:
		return ""
	case size <= t.inline:
		return "inline"
	case size < 32<<10:
		return "index"
	default:
		return "file"
	}
}
