package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"deuxfleurs.fr/garage/tools/deploy/sites"
	"deuxfleurs.fr/garage/tools/s3client"
)

const (
	healReaders = 2
	readPause   = 20 * time.Millisecond // between two reads of a reader: what readers notice is asked, not what a machine can do
)

// reads are the answers that readers got.
type reads []read

type read struct {
	began time.Time
	took  time.Duration
}

// during are those that began in the time from begin on.
func (r reads) during(begin time.Time, took time.Duration) *cell {
	var c cell
	for _, one := range r {
		if after := one.began.Sub(begin); after >= 0 && after < took {
			c.latencies = append(c.latencies, one.took)
		}
	}
	return &c
}

// read reads objects while something is done, and says how long each took.
func (h *healing) read(ctx context.Context, meanwhile func(context.Context) error) (reads, error) {
	client := h.Client(healReaders)
	defer client.HTTP.CloseIdleConnections()
	reading, stop := context.WithCancel(ctx)
	defer stop()
	var done reads
	var mu sync.Mutex
	var readers errgroup.Group
	for r := range healReaders {
		readers.Go(func() error {
			for i := r; ; i++ {
				begin := time.Now()
				answer, err := client.Do(reading, s3client.Request{Method: "GET", Bucket: sites.First, Key: fmt.Sprint(i * 7 % healObjects)})
				took := time.Since(begin)
				if reading.Err() != nil {
					return nil
				}
				if err == nil && answer.Status != 200 {
					err = fmt.Errorf("get: %d %s", answer.Status, answer.Code)
				}
				if err != nil {
					return err
				}
				mu.Lock()
				done = append(done, read{begin, took})
				mu.Unlock()
				select {
				case <-reading.Done():
				case <-time.After(readPause):
				}
			}
		})
	}
	err := meanwhile(ctx)
	stop()
	err = errors.Join(err, readers.Wait())
	return done, err
}
