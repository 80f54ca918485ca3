package parts

import (
	"fmt"
	"slices"
)

// Choose returns the parts of those names and what they need, in the order given; without names, all.
func Choose(all []Part, names []string) ([]Part, error) {
	if len(names) == 0 {
		return all, nil
	}
	wanted := map[string]bool{}
	var want func(name string) error
	want = func(name string) error {
		at := slices.IndexFunc(all, func(p Part) bool { return p.Name() == name })
		if at < 0 {
			return fmt.Errorf("no part is called %q", name)
		}
		wanted[name] = true
		for _, need := range all[at].needs() {
			if err := want(need); err != nil {
				return err
			}
		}
		return nil
	}
	for _, name := range names {
		if err := want(name); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p Part) bool { return !wanted[p.Name()] }), nil
}
