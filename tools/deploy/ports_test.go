package deploy

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnAddressIsGivenOnce(t *testing.T) {
	var one, other addresses // as of two processes
	given := map[string]bool{}
	for range portsOfSlice + 50 {
		for _, a := range []*addresses{&one, &other} {
			address, err := a.free()
			require.NoError(t, err)
			require.False(t, given[address], address)
			given[address] = true
		}
	}
	for _, a := range []*addresses{&one, &other} {
		for _, c := range a.held {
			require.NoError(t, c.Close())
		}
	}
}

func TestAPortThatIsInUseIsNotGiven(t *testing.T) {
	var a addresses
	require.NoError(t, a.take())
	l, err := net.Listen("tcp", a.held[0].LocalAddr().String())
	require.NoError(t, err)
	defer l.Close()
	address, err := a.free()
	require.NoError(t, err)
	require.NotEqual(t, l.Addr().String(), address)
	require.NoError(t, a.held[0].Close())
}
