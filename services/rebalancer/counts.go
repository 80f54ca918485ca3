package rebalancer

import (
	"sync"
	"time"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

const (
	// maxCounting bounds how many services are remembered.
	maxCounting = 4096
	// apart is the least time between two samples.
	apart = time.Second
)

// counts is what services have counted, when they said so last and before.
type counts struct {
	mu sync.Mutex
	of map[string]*counting
}

type counting struct {
	process    string
	now, then  *adminv1.Counters // then is nil before the second sample of a process
	at, before time.Time
}

// put takes note of what a service has counted in a process. Samples that come too fast after another change nothing.
func (c *counts) put(service, process string, counted *adminv1.Counters, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil || len(c.of) >= maxCounting && c.of[service] == nil {
		c.of = make(map[string]*counting)
	}
	of := c.of[service]
	switch {
	case of == nil || of.process != process || now.Before(of.at):
		c.of[service] = &counting{process: process, now: counted, at: now}
	case now.Sub(of.at) >= apart:
		of.now, of.then, of.at, of.before = counted, of.now, now, of.at
	}
}

// fill adds to a message what a service has counted, if that is known.
func (c *counts) fill(service string, m *adminv1.ServiceTraffic) (at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.of[service]
	if of == nil {
		return at
	}
	m.Counters = of.now
	if of.then != nil {
		m.Rates = rates(of.then, of.now, of.at.Sub(of.before))
	}
	return of.at
}

func rates(then, now *adminv1.Counters, took time.Duration) *adminv1.Rates {
	rate := func(then, now int64) float64 { return float64(max(0, now-then)) / took.Seconds() }
	return &adminv1.Rates{
		Requests: rate(then.GetRequests(), now.GetRequests()), Errors: rate(then.GetErrors(), now.GetErrors()), Refused: rate(then.GetRefused(), now.GetRefused()),
		BytesReceived: rate(then.GetBytesReceived(), now.GetBytesReceived()), BytesSent: rate(then.GetBytesSent(), now.GetBytesSent()),
	}
}

func gatewayCounters(c *clusterv1.Counters) *adminv1.Counters {
	return &adminv1.Counters{Requests: c.GetRequests(), Errors: c.GetErrors(), Refused: c.GetRefused(), BytesReceived: c.GetBytesReceived(), BytesSent: c.GetBytesSent()}
}

// nodeCounters are those of a chunk-node, which tells its failures apart from nothing else.
func nodeCounters(c *clusterv1.Traffic) *adminv1.Counters {
	return &adminv1.Counters{Requests: c.GetReads() + c.GetWrites() + c.GetReferences() + c.GetDeletes(), Errors: c.GetErrors(),
		BytesReceived: c.GetBytesWritten(), BytesSent: c.GetBytesRead()}
}
