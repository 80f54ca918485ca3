package deploy

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"

	"deuxfleurs.fr/garage/tools/stack/process"
)

// Ports that FreeAddress gives: above those of stacks (tools/stack/parts), and below those that the system gives to who asks for any: one of these
// could be taken by the time that a program listens on it.
const (
	firstPort    = 22_000
	portsOfSlice = 100
	allSlices    = 100
)

// addresses gives each port once. It takes slices of ports, each of which only one process of this machine has at a time, so that a port
// that was given stays free until a program listens on it, and while that is restarted.
type addresses struct {
	mu        sync.Mutex
	held      []net.PacketConn // a slice is held by a UDP socket on its first port, which ends with the process
	next, end int
}

var ofProcess addresses

// FreeAddress returns a loopback address that nobody listens on at the moment, and that is given to nobody else while this process lives.
func FreeAddress() (string, error) { return ofProcess.free() }

func (a *addresses) free() (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		if a.next == a.end {
			if err := a.take(); err != nil {
				return "", err
			}
		}
		address := fmt.Sprintf("127.0.0.1:%d", a.next)
		a.next++
		if process.Unused(address) == nil {
			return address, nil
		}
	}
}

// take takes another slice.
func (a *addresses) take() error {
	var last error
	start := rand.IntN(allSlices)
	for i := range allSlices {
		first := firstPort + (start+i)%allSlices*portsOfSlice
		c, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", first))
		if err == nil {
			a.held, a.next, a.end = append(a.held, c), first, first+portsOfSlice
			return nil
		}
		last = err
	}
	return fmt.Errorf("no ports are left for tests: others have all from %d to %d: %w", firstPort, firstPort+allSlices*portsOfSlice-1, last)
}
