package cluster

import (
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/cluster/local"
	"deuxfleurs.fr/garage/tools/systemtest/load"
)

// A gateway that is killed takes with it the requests that it served, and Traefik sends it others until it learns of it, or until Nomad
// has started it again at the same address. After that nothing fails, and all that was acknowledged is there.
func TestAGatewayIsKilled(t *testing.T) {
	f := setUp(t)
	s := f.strain(4)
	for range 2 {
		gateway := f.processes(local.JobGateway)[0]
		require.NoError(t, gateway.Crash())
		s.recovers(150)
		f.returns(local.JobGateway, gateway.PID, 2)
		s.recovers(100)
	}
	failed := s.Failures()
	for _, failure := range failed {
		require.True(t, failure.Err != nil || failure.Status == 502 || unavailable(failure), "%v", failure)
	}
	s.more(200)
	s.allWell(len(failed))
}

// A metadata service that is killed costs at most the commits that were on their way to it: they are answered 503, because nobody
// knows whether they happened. Reads, and all that comes after, go to another.
func TestAMetadataServiceIsKilled(t *testing.T) {
	f := setUp(t)
	const workers = 4
	s := f.strain(workers)
	service := f.processes(local.JobMetadata)[0]
	require.NoError(t, service.Crash())
	s.recovers(150)
	f.returns(local.JobMetadata, service.PID, 2)
	failed := s.Failures()
	require.LessOrEqual(t, len(failed), workers, "%v", failed)
	for _, failure := range failed {
		require.True(t, failure.Err == nil && failure.Status == 503, "%v", failure)
	}
	s.more(200)
	s.allWell(len(failed))
}

// Consul is asked for what changes; what is known goes on without it.
func TestConsulsAgentsAreStopped(t *testing.T) {
	f := setUp(t)
	s := f.strain(4)
	for _, name := range []string{"consul-node-1", "consul-server"} {
		f.away(name, func() { s.more(300) })
		s.more(200)
	}
	s.allWell(0)
}

// While the only node of the database is away nothing can be said about any object: requests are answered 503. They succeed again by
// themselves when it returns, and all that was acknowledged is there.
func TestTheDatabaseIsStopped(t *testing.T) {
	f := setUp(t)
	s := f.strain(4)
	f.away("cassandra-1", func() {
		f.until("requests fail", func() error {
			if len(s.Failures()) < 8 {
				return errFew
			}
			return nil
		})
	})
	s.recovers(150)
	failed := s.Failures()
	for _, failure := range failed {
		require.True(t, unavailable(failure), "%v", failure)
	}
	s.more(200)
	s.allWell(len(failed))
}

// unavailable is a failure that says to try again.
func unavailable(f load.Failure) bool { return f.Err == nil && (f.Status == 503 || f.Status == 504) }
