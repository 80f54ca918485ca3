package packages

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/install"
)

// debian is a Debian in a folder of its own, in which nothing runs but what a test starts.
type debian struct {
	*testing.T
	root string
}

func newDebian(t *testing.T) debian {
	t.Helper()
	source, err := install.Installer{Progress: os.Stderr}.DebianRoot(t.Context(), "bookworm", "adduser", "systemd")
	require.NoError(t, err)
	d := debian{t, filepath.Join(t.TempDir(), "root")}
	out, err := exec.Command("cp", "-a", "--reflink=auto", source, d.root).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return d
}

func (d debian) path(name string) string { return filepath.Join(d.root, name) }

// run runs a command in the Debian, as root, and returns what it says.
func (d debian) run(argv ...string) (string, error) {
	cmd := exec.Command("/usr/sbin/chroot", append([]string{d.root}, argv...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (d debian) ok(argv ...string) string {
	d.Helper()
	out, err := d.run(argv...)
	require.NoError(d, err, "%v: %s", argv, out)
	return out
}

// install installs a file as a Debian package.
func (d debian) install(deb string) {
	d.Helper()
	require.NoError(d, copyFile(deb, d.path("tmp/garage.deb")))
	d.ok("dpkg", "--install", "/tmp/garage.deb")
}

// unit is what systemd would run, as far as the packages' units use it.
type unit struct {
	service     string // the name, without garage- and .service
	user        string
	state       string   // folder that systemd makes for the user
	environment []string // with what the environment files say
	command     []string
}

// unit reads an installed unit with what all of them have in common. It fails for what it does not know, which the test would not run as
// systemd does.
func (d debian) unit(service string) unit {
	d.Helper()
	u := unit{service: service, environment: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"}}
	units := d.path("usr/lib/systemd/system")
	var files []string
	for _, path := range []string{filepath.Join(units, "garage-.service.d", "common.conf"), filepath.Join(units, "garage-"+service+".service")} {
		text, err := os.ReadFile(path)
		require.NoError(d, err)
		for line := range strings.Lines(string(text)) {
			name, value, some := strings.Cut(strings.TrimSpace(line), "=")
			if !some || strings.HasPrefix(name, "#") {
				continue
			}
			switch name {
			case "User":
				u.user = value
			case "StateDirectory":
				u.state = "/var/lib/" + value
			case "Environment":
				u.environment = append(u.environment, value)
			case "EnvironmentFile":
				files = append(files, strings.TrimPrefix(value, "-"))
			case "ExecStart":
				u.command = strings.Fields(value)
			default:
				require.False(d, strings.HasPrefix(name, "Exec") || name == "Group" || name == "WorkingDirectory" || name == "DynamicUser", "%s", line)
			}
		}
	}
	for _, file := range files {
		text, err := os.ReadFile(d.path(file))
		require.NoError(d, err)
		for line := range bytes.Lines(text) {
			if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
				u.environment = append(u.environment, string(line))
			}
		}
	}
	return u
}

// process runs the unit as systemd would: as its user, in its environment, with its folder. The administration server answers there.
func (d debian) process(service, admin string) *deploy.Process {
	d.Helper()
	u := d.unit(service)
	require.NotEmpty(d, u.user)
	require.NotEqual(d, "root", u.user)
	id := strings.Fields(d.ok("id", "-u", u.user) + d.ok("id", "-g", u.user))
	uid, err := strconv.Atoi(id[0])
	require.NoError(d, err)
	gid, err := strconv.Atoi(id[1])
	require.NoError(d, err)
	if _, err := os.Stat(d.path(u.state)); os.IsNotExist(err) {
		require.NoError(d, os.MkdirAll(filepath.Dir(d.path(u.state)), 0o755))
		require.NoError(d, os.Mkdir(d.path(u.state), 0o700))
		require.NoError(d, os.Chown(d.path(u.state), uid, gid))
	}
	log := filepath.Join(d.TempDir(), "log")
	args := append([]string{"/usr/sbin/chroot", "--userspec=" + id[0] + ":" + id[1], "--groups=", d.root}, u.command...)
	return deploy.NewProcess(deploy.Process{Name: service, Admin: admin, Log: log}, args, u.environment, "/", nil)
}
