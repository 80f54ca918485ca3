package parts

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
)

// ports are all of a stack before the offset, but for those of Nomad's tasks.
var ports = []int{
	portCQL, portStorage, portJMX, portJMX + 1, portJMX + 2, portConsulHTTP, portConsulGRPC, portConsulServer, portConsulSerf,
	portNomadHTTP, portNomadRPC, portNomadSerf, portLDAP, portTraefikHTTP, portTraefikHTTPS, portTraefikPing,
}

// FreeOffset returns an offset by which all ports of a stack are free now. It is drawn at random, so that two stacks that start at the
// same time do not choose the same.
func FreeOffset() (int, error) {
	taken, err := listening()
	if err != nil {
		return 0, err
	}
	for range 100 {
		// Above what others use, and below the ports that the system gives to outgoing connections.
		n, err := rand.Int(rand.Reader, big.NewInt(11000))
		if err != nil {
			return 0, err
		}
		offset := 1000 + int(n.Int64())
		if !slices.ContainsFunc(ports, func(port int) bool { return taken[port+offset] }) {
			return offset, nil
		}
	}
	return 0, errors.New("no free ports for a stack: stop some of those that run")
}

// listening returns the ports on which somebody listens, on whichever address.
func listening() (map[int]bool, error) {
	taken := map[int]bool{}
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // A machine without IPv6.
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			// sl local_address rem_address st …; state 0A is LISTEN.
			fields := strings.Fields(line)
			if len(fields) < 4 || fields[3] != "0A" {
				continue
			}
			_, hex, _ := strings.Cut(fields[1], ":")
			port, err := strconv.ParseInt(hex, 16, 32)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			taken[int(port)] = true
		}
	}
	return taken, nil
}
