package consul

import "fmt"

// coarse is a capacity as people read it in Consul: two digits, and steady while the capacity is.
type coarse struct {
	bytes int64 // that it stands for
	known bool
}

// set takes a measurement and tells whether what is shown changes: the first time, and then when the
// capacity differs from what is shown by a tenth.
func (c *coarse) set(bytes int64) (changed bool) {
	if c.known {
		difference := bytes - c.bytes
		if difference < 0 {
			difference = -difference
		}
		if difference <= c.bytes/10 {
			return false
		}
	}
	c.bytes, c.known = bytes, true
	return true
}

// String is the capacity rounded down to two digits, in units of a thousand: "200 GB", "1.8 TB".
func (c *coarse) String() string {
	if !c.known {
		return "unknown"
	}
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	n, unit := c.bytes, int64(1)
	i := 0
	for n/unit >= 1000 && i < len(units)-1 {
		unit *= 1000
		i++
	}
	switch whole := n / unit; {
	case whole >= 100:
		return fmt.Sprintf("%d %s", whole/10*10, units[i])
	case whole >= 10 || i == 0:
		return fmt.Sprintf("%d %s", whole, units[i])
	default:
		if tenth := n / (unit / 10) % 10; tenth > 0 {
			return fmt.Sprintf("%d.%d %s", whole, tenth, units[i])
		}
		return fmt.Sprintf("%d %s", whole, units[i])
	}
}
