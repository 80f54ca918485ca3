package process

import (
	"net"
	"syscall"
)

// Unused makes sure that nobody listens on a TCP address: a program that is started now can. This process starts none meanwhile, since a child has the
// sockets of its parent until it runs its own program, and the address would still be in use when this has returned.
func Unused(address string) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}
