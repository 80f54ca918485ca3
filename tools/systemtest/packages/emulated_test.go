package packages

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/install"
)

func TestTheProgramsForOtherMachinesStoreAndKeepObjects(t *testing.T) {
	for platform, emulator := range map[string]string{
		"linux-arm64": "/usr/bin/qemu-aarch64-static", "linux-armv7": "/usr/bin/qemu-arm-static",
	} {
		t.Run(platform, func(t *testing.T) {
			require.NoError(t, install.Installer{Progress: os.Stderr}.Debian(t.Context(), install.Package{Name: "qemu-user-static", File: emulator}))
			garage := filepath.Join(unpack(t, platform), "garage")
			out, err := exec.Command(emulator, garage, "version", "--json").CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Contains(t, string(out), version)
			require.Contains(t, string(out), commit)

			dir := t.TempDir()
			data, s3, admin := filepath.Join(dir, "data"), freeAddress(t), freeAddress(t)
			p := deploy.NewProcess(deploy.Process{Name: platform, Admin: admin, Log: filepath.Join(dir, "log")},
				[]string{emulator, garage, "standalone"}, standaloneEnv(data, s3, admin), dir, nil)
			restartKeeps(t, p, data, s3)
		})
	}
}
