package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"lukechampine.com/blake3"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/deploy/sites"
	"deuxfleurs.fr/garage/tools/s3client"
)

// healObjects, of 1 MiB each, are what is moved and read.
const healObjects = 512

// healing measures what changes of the layout, a scrub and a repair cost: of three sites with a chunk-node each, one gets another in its place, then all
// get one more, and the older three leave again.
type healing struct {
	*sites.Cluster
	plain float64           // CPU seconds for a GiB of plain copying
	nodes []*deploy.Process // of the layout
	added []*deploy.Process // that have entered it last
	older []string          // IDs of those that were in it then
}

func measureHealing(ctx context.Context, dir string) (err error) {
	plain, err := plainCopy(filepath.Join(dir, "plain"))
	if err != nil {
		return err
	}
	fmt.Printf("plain copy, BLAKE3 and fsync of files of 1 MiB: %.2f CPUs/GiB\n", plain)
	data := filepath.Join(dir, "sites")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	c, err := sites.Start(ctx, sites.Options{Dir: data, Sites: 3, Nodes: 1, Rebalancers: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	h := &healing{Cluster: c, plain: plain, nodes: c.Nodes()}
	for _, step := range []func(context.Context) error{h.store, h.replace, h.grow, h.drain, h.scrub, h.repair} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// plainCopy is the processor time for a GiB of copying files as a chunk-node stores them, and nothing else.
func plainCopy(dir string) (float64, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return 0, err
	}
	source := filepath.Join(dir, "source")
	body := make([]byte, mib)
	_, _ = rand.Read(body) // It cannot fail: it ends the program instead.
	if err := os.WriteFile(source, body, 0o600); err != nil {
		return 0, err
	}
	before, err := ownCPU()
	if err != nil {
		return 0, err
	}
	for i := range healObjects {
		data, err := os.ReadFile(source)
		if err != nil {
			return 0, err
		}
		to, err := os.Create(filepath.Join(dir, fmt.Sprintf("%x-%d", blake3.Sum256(data), i)))
		if err != nil {
			return 0, err
		}
		_, err = to.Write(data)
		if err := errors.Join(err, to.Sync(), to.Close()); err != nil {
			return 0, err
		}
	}
	after, err := ownCPU()
	return (after - before).Seconds() * kib / healObjects, err
}

func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}

// store puts the objects.
func (h *healing) store(ctx context.Context) error {
	client := h.Client(1)
	defer client.HTTP.CloseIdleConnections()
	for i := range healObjects {
		body := make([]byte, mib)
		_, _ = rand.Read(body) // It cannot fail: it ends the program instead.
		answer, err := client.Do(ctx, s3client.Request{Method: "PUT", Bucket: sites.First, Key: fmt.Sprint(i), Body: body})
		if err == nil && answer.Status != 200 {
			err = fmt.Errorf("put: %d %s", answer.Status, answer.Code)
		}
		if err != nil {
			return err
		}
	}
	return h.wait(ctx, "all copies are there", func(s *adminv1.GetStatusResponse) error {
		for _, n := range s.GetNodes() {
			if n.GetOwed() > 0 || n.GetChunks() < healObjects {
				return fmt.Errorf("a node has %d chunks and owes %d", n.GetChunks(), n.GetOwed())
			}
		}
		return nil
	})
}

// wait asks for the status until it is as wanted.
func (h *healing) wait(ctx context.Context, what string, wanted func(*adminv1.GetStatusResponse) error) error {
	return sites.Until(ctx, what, func() error {
		status, err := h.Status(ctx)
		if err != nil {
			return err
		}
		return wanted(status)
	})
}

// command tells all nodes of the layout to do a task now, as fast as they can.
func (h *healing) command(ctx context.Context, task chunknodev1.Task) error {
	return sites.Until(ctx, "all nodes are told", func() error {
		return h.Admin(ctx, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
			answer, err := admin.CommandNodes(ctx, &adminv1.CommandNodesRequest{Task: task, Start: true, Rate: -1})
			for _, n := range answer.GetNodes() {
				if n.GetProblem() != "" {
					err = errors.Join(err, fmt.Errorf("node %s: %s", n.GetNode(), n.GetProblem()))
				}
			}
			return err
		})
	})
}

// tasks visits what the nodes say of a task.
func tasks(s *adminv1.GetStatusResponse, task chunknodev1.Task, visit func(node string, t *chunknodev1.TaskStatus) error) error {
	for _, n := range s.GetNodes() {
		for _, t := range n.GetTasks() {
			if t := t.GetStatus(); t.GetTask() == task {
				if err := visit(n.GetId(), t); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// spent returns what the processes take from now on until it is called.
func spent(all []*deploy.Process) (since func() (time.Duration, error), err error) {
	before, err := cpu(all)
	return func() (time.Duration, error) {
		after, err := cpu(all)
		return after - before, err
	}, err
}

// cpu is what the processes have taken.
func cpu(all []*deploy.Process) (sum time.Duration, err error) {
	for _, p := range all {
		u, err := p.Usage()
		if err != nil {
			return 0, err
		}
		sum += u.CPU
	}
	return sum, nil
}
