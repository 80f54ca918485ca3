package chunknode

import (
	"context"
	"os"
	"sync"
	"time"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/heal"
	"deuxfleurs.fr/garage/services/chunk-node/tasks"
)

// inFlight is how many chunks a task moves at the same time: enough to fill the default rate with chunks of 1 MiB over a line of
// 75 ms, and few enough that clients' requests find the disks free.
const inFlight = 4

// waitEnv names the variable by which a test has a node wait for less than the setting long-collection-wait allows, as a duration. It is no
// setting: who sets it otherwise loses what writes have stored that are slow to begin.
const waitEnv = "GARAGE_DEBUG_LONG_COLLECTION_WAIT"

func (s *Service) collectWait() (time.Duration, error) {
	text := os.Getenv(waitEnv)
	if text == "" {
		return s.config.CollectWait, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, errors.Newf(errors.Invalid, "%s is a duration above 0, not %q", waitEnv, text)
	}
	s.deps.Logger.Warn("TEST SETTING: references that metadata does not know are removed after too short a time", "variable", waitEnv, "wait", d)
	return d, nil
}

// openTasks makes the tasks, which Run runs.
func (s *Service) openTasks() error {
	ctx, c, d := context.Background(), &s.config, &s.deps
	wait, err := s.collectWait()
	if err != nil {
		return err
	}
	s.healing, err = heal.New(ctx, heal.Config{RepairInterval: c.RepairInterval, ScrubInterval: c.ScrubInterval, CollectInterval: c.CollectAll, CollectWait: wait, Trash: c.Trash}, heal.Deps{
		ID: d.NodeID, Local: s.store, Peers: s.peers, Clock: d.Clock, Random: d.Random, Logger: d.Logger, Each: sideBySide, Busy: s.busy, Metadata: d.Metadata, ClusterID: d.ClusterID,
	})
	if err != nil {
		return errors.Annotate(err, "opening the chunk-node's tasks")
	}
	jobs := s.healing.Jobs()
	jobs[chunk.Collection] = tasks.JobFunc(s.collect)
	rates := map[chunk.Task]int64{chunk.Rebalance: int64(c.RebalanceRate), chunk.Repair: int64(c.RebalanceRate), chunk.Scrub: int64(c.ScrubRate)}
	s.tasks, err = tasks.New(ctx, jobs, tasks.Deps{Notes: s.store, Clock: d.Clock, Logger: d.Logger, Rates: rates})
	return errors.Annotate(err, "opening the chunk-node's tasks")
}

// sideBySide calls do with 0 … n-1, inFlight at a time.
func sideBySide(n int, do func(i int)) {
	var work sync.WaitGroup
	next := make(chan int)
	for range min(n, inFlight) {
		work.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	work.Wait()
}

// clientPause is how long after a read more of them are expected.
const clientPause = 250 * time.Millisecond

// busy reports whether clients read just now. The tasks of other nodes read too, but only what they lack, which is rare.
func (s *Service) busy() bool {
	return s.deps.Clock.Now().Sub(time.Unix(0, s.traffic.lastRead.Load())) < clientPause
}

// follow wakes the tasks that work for a layout when another one is adopted, until ctx ends.
func (s *Service) follow(ctx context.Context) {
	for {
		changed := s.peers.Changed()
		s.tasks.Wake(chunk.Rebalance)
		s.tasks.Wake(chunk.Repair)
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// collect is the task that removes chunks to which nothing has referred for long enough.
func (s *Service) collect(ctx context.Context, p *tasks.Progress) (time.Duration, error) {
	answers := p.Asked()
	p.Begin(s.deps.Clock.Now(), 0, 0, 0)
	s.collecting.Store(true)
	defer s.collecting.Store(false)
	n, err := s.store.Collect(ctx)
	s.collected.Add(int64(n))
	p.Add(int64(n), 0)
	if err != nil {
		return 0, err
	}
	p.End(s.deps.Clock.Now(), answers)
	return s.config.Collect, nil
}
