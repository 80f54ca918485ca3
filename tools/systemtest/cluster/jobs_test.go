package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/repo"
)

// Nomad accepts each job file with its defaults and with each of the drivers that it offers.
func TestNomadAcceptsTheJobFiles(t *testing.T) {
	f := setUp(t)
	env, err := f.cluster.Stack().Env()
	require.NoError(t, err)
	root, err := repo.Root()
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(root, "nomad", "*.nomad.hcl"))
	require.NoError(t, err)
	require.Len(t, files, 7)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		drivers := []string{"", "raw_exec", "exec", "docker"}
		if !strings.Contains(string(text), `variable "driver"`) {
			drivers = drivers[:1] // it needs the machine's own tools
		}
		for _, driver := range drivers {
			args := []string{"job", "validate"}
			if driver != "" {
				args = append(args, "-var", "driver="+driver)
			}
			cmd := exec.CommandContext(f.ctx, env["GARAGE_STACK_BIN_NOMAD"], append(args, file)...)
			cmd.Env = append(os.Environ(), "NOMAD_ADDR="+env["GARAGE_STACK_NOMAD"])
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s with driver %q: %s", filepath.Base(file), driver, out)
			require.NotContains(t, string(out), "Warning", "%s with driver %q", filepath.Base(file), driver)
		}
	}
}
