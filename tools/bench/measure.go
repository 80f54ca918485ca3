package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// cell is what was measured for one row, target and number of clients.
type cell struct {
	target, row, way string
	clients          int
	operations       int64
	took, cpu        time.Duration
	latencies        []time.Duration
	peak             int64
	size             int
	known            bool
}

// clients runs one function for each of n clients and waits for all.
func clients(t *target, n int, each func(k *conn, c int) error) error {
	var g errgroup.Group
	for c := range n {
		g.Go(func() error {
			k, err := dial(t.endpoint, t.signed)
			if err != nil {
				return err
			}
			defer k.close()
			return each(k, c)
		})
	}
	return g.Wait()
}

// measure runs a row on a target for a time, or its limit of operations, and adds to the cell.
func measure(ctx context.Context, e *env, r row, into *cell, duration time.Duration, limit int64) error {
	if r.cold {
		if err := dropCaches(); err != nil {
			return err
		}
	}
	if err := e.resetPeak(); err != nil {
		return err
	}
	before, err := e.usage()
	if err != nil {
		return err
	}
	var begun atomic.Int64
	var mu sync.Mutex
	start := time.Now()
	deadline := start.Add(duration)
	err = clients(e.target, into.clients, func(k *conn, c int) error {
		var mine []time.Duration
		for time.Now().Before(deadline) && begun.Add(1) <= limit {
			if err := ctx.Err(); err != nil {
				return err
			}
			at := time.Now()
			if err := r.once(e, k, c); err != nil {
				return fmt.Errorf("%s on %s: %w", r.name, e.name, err)
			}
			mine = append(mine, time.Since(at))
		}
		mu.Lock()
		defer mu.Unlock()
		into.latencies = append(into.latencies, mine...)
		into.operations += int64(len(mine))
		return nil
	})
	into.took += time.Since(start)
	if err != nil {
		return err
	}
	after, err := e.usage()
	into.cpu += after.CPU - before.CPU
	into.peak = max(into.peak, after.Peak)
	into.known = len(e.processes) > 0
	return err
}

// dropCaches makes the kernel forget what it has read. Only root may.
func dropCaches() error {
	syscall.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		return fmt.Errorf("a cold read needs root, to drop the page cache (leave these rows out with --row): %w", err)
	}
	return nil
}

func (c *cell) quantile(q float64) time.Duration {
	if len(c.latencies) == 0 {
		return 0
	}
	slices.Sort(c.latencies)
	return c.latencies[min(len(c.latencies)-1, int(q*float64(len(c.latencies))))]
}

const format = "%-18s %-18s %-7s %7s %9s %9s %9s %9s %9s %10s %8s\n"

func header() string {
	return fmt.Sprintf(format, "row", "target", "way", "clients", "ops/s", "MiB/s", "p50 ms", "p99 ms", "CPUs/GiB", "CPUs/1000", "peak MB")
}

func (c *cell) String() string {
	seconds := c.took.Seconds()
	perOperation := float64(c.operations) / seconds
	bytes := float64(c.operations) * float64(c.size)
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/1e6) }
	rate, perGiB, perThousand, peak := "", "", "", ""
	if c.size > 0 {
		rate = fmt.Sprintf("%.1f", bytes/seconds/mib)
	}
	if c.known && c.operations > 0 {
		if c.size >= 64*kib {
			perGiB = fmt.Sprintf("%.2f", c.cpu.Seconds()/(bytes/(1<<30)))
		}
		perThousand = fmt.Sprintf("%.3f", c.cpu.Seconds()/float64(c.operations)*1000)
		peak = fmt.Sprintf("%d", c.peak/1_000_000)
	}
	return fmt.Sprintf(format, c.row, c.target, c.way, fmt.Sprint(c.clients), fmt.Sprintf("%.1f", perOperation), rate, ms(c.quantile(0.5)), ms(c.quantile(0.99)), perGiB, perThousand, peak)
}
