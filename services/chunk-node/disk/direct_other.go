//go:build !linux

package disk

import "deuxfleurs.fr/garage/pkg/errors"

const directFrom = 256 << 10

// directPossible is false: only Linux's way is known here.
func directPossible(string) bool { return false }

func writeDirect(string, [][]byte, func(func() error) error) error {
	return errors.Newf(errors.Internal, "direct writes are for Linux")
}

type syncError struct{ error }
