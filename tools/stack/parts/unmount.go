package parts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"deuxfleurs.fr/garage/tools/stack/process"
)

// unmount takes away what processes have mounted below their folders, as Nomad does for each task: a folder with a mount in it
// cannot be removed.
func (s *Stack) unmount(processes ...*process.Process) error {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	var errs []error
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		for _, p := range processes {
			below, err := filepath.Rel(p.Dir, fields[1])
			if err != nil || strings.HasPrefix(below, "..") {
				continue
			}
			if err := syscall.Unmount(fields[1], 0); err != nil {
				errs = append(errs, fmt.Errorf("unmount %s: %w", fields[1], err))
			}
		}
	}
	return errors.Join(errs...)
}
