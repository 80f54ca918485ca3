package process

import (
	"net"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// Between its fork and its own program, a child has all that its parent has open.
func TestAnAddressIsUnusedAlsoWhileProgramsAreStarted(t *testing.T) {
	l, err := net.Listen("tcp", "127.77.0.1:0") // where nobody else is
	require.NoError(t, err)
	address := l.Addr().String()
	require.Error(t, Unused(address))
	require.NoError(t, l.Close())
	stop, ended := make(chan struct{}), make(chan error, 2)
	for range cap(ended) {
		go func() {
			for {
				select {
				case <-stop:
					ended <- nil
					return
				default:
				}
				if err := exec.Command("true").Run(); err != nil {
					ended <- err
					return
				}
			}
		}()
	}
	for range 1000 {
		require.NoError(t, Unused(address))
	}
	close(stop)
	for range cap(ended) {
		require.NoError(t, <-ended)
	}
}
