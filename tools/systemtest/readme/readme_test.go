package readme

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/clients"
	"deuxfleurs.fr/garage/tools/deploy"
)

var fence = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

func TestEveryCommandOfTheReadmeWorks(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	tools, err := clients.Install(ctx, os.Stdout)
	require.NoError(t, err)
	root, err := deploy.Root()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	fences := fence.FindAllSubmatch(text, -1)
	require.GreaterOrEqual(t, len(fences), 3, "the AWS CLI, restic and rclone")

	d := deploy.ForTest(t)
	bin, err := deploy.Bin()
	require.NoError(t, err)
	dir := t.TempDir()
	for name, path := range map[string]string{
		"path/aws": tools.AWS1, "path/rclone": tools.Rclone, "path/restic": tools.Restic, "bin/garage": filepath.Join(bin, "garage"),
	} {
		link := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(link), 0o755))
		require.NoError(t, os.Symlink(path, link))
	}
	// One shell for all of it: what one fence exports, the next uses.
	script := "set -eux\n. " + filepath.Join(d.Data, "credentials.env") + "\n"
	for _, f := range fences {
		script += string(f[1])
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", script)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + filepath.Join(dir, "path") + ":/usr/local/bin:/usr/bin:/bin", "HOME=" + dir, "LANG=C.UTF-8", "AWS_PAGER=",
		"GARAGE_DATA=" + d.Data, "GARAGE_ADMIN=" + d.Admin,
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%d fences\n%s", len(fences), out)
}
