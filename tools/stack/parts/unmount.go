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

// unescape undoes what the kernel does to paths in its list of mounts.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

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
		path := unescape.Replace(fields[1])
		for _, p := range processes {
			below, err := filepath.Rel(p.Dir, path)
			if err != nil || strings.HasPrefix(below, "..") {
				continue
			}
			// Detached at once, even where somebody still looks into it.
			if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
				errs = append(errs, fmt.Errorf("unmount %s: %w", path, err))
			}
		}
	}
	return errors.Join(errs...)
}
