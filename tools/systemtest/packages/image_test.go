package packages

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
)

// What OCI's specification of images calls descriptor, index, manifest and configuration, as far as it is needed.
type descriptor struct {
	MediaType, Digest string
	Size              int64
	Annotations       map[string]string
	Platform          struct{ OS, Architecture, Variant string }
}

type manifest struct {
	SchemaVersion     int
	MediaType         string
	Manifests, Layers []descriptor
	Config            descriptor
}

type imageConfig struct {
	OS, Architecture, Variant string
	Config                    struct {
		User            string
		Env             []string
		Entrypoint, Cmd []string
	}
}

// blob checks that a blob is there as described, and returns its path.
func blob(t *testing.T, image string, d descriptor) string {
	t.Helper()
	path := filepath.Join(image, "blobs", "sha256", d.Digest[len("sha256:"):])
	about, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, d.Size, about.Size(), path)
	require.Equal(t, d.Digest, "sha256:"+sum(t, path))
	return path
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, into), path)
}

func TestTheImageIsValidAndItsCommandServes(t *testing.T) {
	image := t.TempDir()
	out, err := exec.Command("tar", "-C", image, "-xf", file(t, packagesOf, "garage-"+version+"-oci.tar")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	layout, index := map[string]string{}, manifest{}
	read(t, filepath.Join(image, "oci-layout"), &layout)
	require.Equal(t, "1.0.0", layout["imageLayoutVersion"])
	read(t, filepath.Join(image, "index.json"), &index)
	require.Equal(t, 2, index.SchemaVersion)
	require.Len(t, index.Manifests, 1)
	require.Equal(t, version, index.Manifests[0].Annotations["org.opencontainers.image.ref.name"])

	platforms := manifest{}
	read(t, blob(t, image, index.Manifests[0]), &platforms)
	require.Equal(t, "application/vnd.oci.image.index.v1+json", platforms.MediaType)
	require.Len(t, platforms.Manifests, 3)
	for _, d := range platforms.Manifests {
		var m manifest
		var c imageConfig
		read(t, blob(t, image, d), &m)
		require.Equal(t, "application/vnd.oci.image.manifest.v1+json", m.MediaType)
		read(t, blob(t, image, m.Config), &c)
		require.Equal(t, []string{"linux", d.Platform.Architecture, d.Platform.Variant}, []string{c.OS, c.Architecture, c.Variant})
		require.Len(t, m.Layers, 1)
		require.Equal(t, "application/vnd.oci.image.layer.v1.tar+gzip", m.Layers[0].MediaType)
		root := t.TempDir()
		layer, err := os.Open(blob(t, image, m.Layers[0]))
		require.NoError(t, err)
		untar(t, layer, root)
		require.NoError(t, layer.Close())
		require.NoError(t, os.Chmod(root, 0o755))
		name := map[string]string{"amd64": "linux-amd64", "arm64": "linux-arm64", "arm": "linux-armv7"}[c.Architecture]
		programs := unpack(t, name)
		for _, program := range []string{"garage", "s3-gateway", "metadata", "chunk-node", "rebalancer"} {
			require.Equal(t, sum(t, filepath.Join(programs, program)), sum(t, filepath.Join(root, "bin", program)), "%s for %s", program, name)
		}
		if c.Architecture == runtime.GOARCH {
			serveImage(t, root, c)
		}
	}
}

// serveImage runs the image's command as its user, with its environment and nothing else but free ports.
func serveImage(t *testing.T, root string, c imageConfig) {
	t.Helper()
	require.Empty(t, c.Config.Entrypoint, "so that the job files can choose the program")
	s3, admin := freeAddress(t), freeAddress(t)
	env := append(slices.Clone(c.Config.Env), "GARAGE_S3_LISTEN="+s3, "GARAGE_ADMIN_LISTEN="+admin)
	args := append([]string{"/usr/sbin/chroot", "--userspec=" + c.Config.User, root}, c.Config.Cmd...)
	p := deploy.NewProcess(deploy.Process{Name: "image", Admin: admin, Log: filepath.Join(t.TempDir(), "log")}, args, env, "/", nil)
	restartKeeps(t, p, filepath.Join(root, "data"), s3)
}
