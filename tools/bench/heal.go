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
const healObjects = 256

// healing measures what a change of the layout and a scrub cost: three sites with a chunk-node each are given another one each.
type healing struct {
	*sites.Cluster
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
	c, err := sites.Start(ctx, sites.Options{Dir: data, Sites: 3, Nodes: 1, Rebalancers: 1, Env: []string{"GARAGE_CHUNK_REBALANCE_RATE=0", "GARAGE_CHUNK_SCRUB_RATE=0"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	h := healing{c}
	if err := h.store(ctx); err != nil {
		return err
	}
	if err := h.rebalance(ctx, plain); err != nil {
		return err
	}
	return h.scrub(ctx, plain)
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
func (h healing) store(ctx context.Context) error {
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
func (h healing) wait(ctx context.Context, what string, wanted func(*adminv1.GetStatusResponse) error) error {
	return sites.Until(ctx, what, func() error {
		status, err := h.Status(ctx)
		if err != nil {
			return err
		}
		return wanted(status)
	})
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

// rebalance gives half of everything to new nodes, and says what went over the network and what it cost both sides.
func (h healing) rebalance(ctx context.Context, plain float64) error {
	old := h.Nodes()
	var added []*deploy.Process
	for site := range h.Sites {
		p, err := h.AddNode(ctx, site)
		if err != nil {
			return err
		}
		added = append(added, p)
	}
	err := sites.Until(ctx, "the new nodes are staged", func() error {
		_, err := h.CLI(ctx, "layout", "assign", "--all")
		return err
	})
	if err != nil {
		return err
	}
	fromBefore, err := cpu(old)
	if err != nil {
		return err
	}
	toBefore, err := cpu(added)
	if err != nil {
		return err
	}
	begin := time.Now()
	if _, err := h.CLI(ctx, "layout", "apply"); err != nil {
		return err
	}
	var sent int64
	err = h.wait(ctx, "the old layout is retired", func(s *adminv1.GetStatusResponse) error {
		if s.GetLayout() != 2 || s.GetOldestLayout() != 2 {
			return fmt.Errorf("layouts %d to %d are in force", s.GetOldestLayout(), s.GetLayout())
		}
		sent = 0
		for _, n := range s.GetNodes() {
			for _, t := range n.GetTasks() {
				if t.GetStatus().GetTask() == chunknodev1.Task_TASK_REBALANCE {
					sent += t.GetStatus().GetBytes()
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	took := time.Since(begin)
	moved, err := held(added)
	if err != nil {
		return err
	}
	fromAfter, err := cpu(old)
	if err != nil {
		return err
	}
	toAfter, err := cpu(added)
	if err != nil {
		return err
	}
	gib := float64(moved) / (1 << 30)
	from, to := (fromAfter-fromBefore).Seconds()/gib, (toAfter-toBefore).Seconds()/gib
	fmt.Printf("change of the layout: %d MiB sent, %d MiB is the least (%.3f), in %v\n", sent/mib, moved/mib, float64(sent)/float64(moved), took.Round(time.Millisecond))
	fmt.Printf("  CPUs/GiB: source %.2f (%.1f plain copies), target %.2f (%.1f)\n", from, from/plain, to, to/plain)
	return nil
}

// held is the bytes that lie in the files of nodes, of which each is an object.
func held(nodes []*deploy.Process) (sum int64, err error) {
	for _, p := range nodes {
		files, err := filepath.Glob(filepath.Join(p.Data, "chunks", "blobs", "???", "*"))
		if err != nil {
			return 0, err
		}
		sum += int64(len(files)) * mib
	}
	return sum, nil
}

// scrub has all nodes read what they hold.
func (h healing) scrub(ctx context.Context, plain float64) error {
	nodes := h.Nodes()
	before, err := cpu(nodes)
	if err != nil {
		return err
	}
	begin := time.Now()
	err = h.Admin(ctx, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
		_, err := admin.CommandNodes(ctx, &adminv1.CommandNodesRequest{Task: chunknodev1.Task_TASK_SCRUB, Start: true, Rate: -1})
		return err
	})
	if err != nil {
		return err
	}
	var read int64
	err = h.wait(ctx, "all nodes have read everything", func(s *adminv1.GetStatusResponse) error {
		read = 0
		for _, n := range s.GetNodes() {
			for _, t := range n.GetTasks() {
				if t := t.GetStatus(); t.GetTask() == chunknodev1.Task_TASK_SCRUB {
					if t.GetEnded() == nil || t.GetEnded().AsTime().Before(begin) {
						return fmt.Errorf("node %s has not ended: %v", n.GetId(), t)
					}
					read += t.GetBytes()
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	after, err := cpu(nodes)
	if err != nil {
		return err
	}
	perGiB := (after - before).Seconds() / (float64(read) / (1 << 30))
	fmt.Printf("scrub: %d MiB read, %.2f CPUs/GiB (%.1f plain copies)\n", read/mib, perGiB, perGiB/plain)
	return nil
}
