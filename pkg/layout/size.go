package layout

import (
	"math/big"
	"strings"

	"deuxfleurs.fr/garage/pkg/errors"
)

var units = map[string]int64{
	"": 1, "B": 1,
	"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15,
	"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40, "PIB": 1 << 50,
}

// ParseSize reads a number of bytes with an optional unit: 1000, "10GB",
// "1.5 TiB". Units with an i are powers of 1024, the others of 1000; capitals
// do not matter. A fraction of a byte is dropped.
func ParseSize(s string) (uint64, error) {
	s = strings.TrimSpace(s)
	digits := len(s) - len(strings.TrimLeft(s, "0123456789."))
	unit, known := units[strings.ToUpper(strings.TrimSpace(s[digits:]))]
	number, ok := new(big.Rat).SetString(s[:digits])
	if !known || !ok || digits > 40 {
		return 0, errors.Newf(errors.Invalid, "%.60q is not a size: write a number of bytes, or one with a unit, like 500GB or 2TiB", s)
	}
	number.Mul(number, new(big.Rat).SetInt64(unit))
	whole := new(big.Int).Quo(number.Num(), number.Denom())
	if !whole.IsUint64() {
		return 0, errors.Newf(errors.Invalid, "%.60q is too large a size: it must be below 16 EiB", s)
	}
	return whole.Uint64(), nil
}
