package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// imageUser is the number of the user and group in the image; no name is needed.
const imageUser = 65532

// image writes the image for all platforms as a tarball of OCI's layout: the index of the layout names one image, by its version, which is
// an index of one image for each platform.
func (r release) image() (err error) {
	platforms := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range r.platforms {
		img, err := r.platformImage(p)
		if err != nil {
			return fmt.Errorf("image for %s: %w", p.name, err)
		}
		platforms = mutate.AppendManifests(platforms, mutate.IndexAddendum{Add: img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: p.arch, Variant: p.variant}}})
	}
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{Add: platforms,
		Descriptor: v1.Descriptor{Annotations: map[string]string{"org.opencontainers.image.ref.name": r.version}}})
	dir, err := os.MkdirTemp(r.out, "image-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if _, err := layout.Write(dir, index); err != nil {
		return err
	}
	return r.write(r.name("-oci.tar"), func(w io.Writer) error {
		t := tree{tar.NewWriter(w), r.date}
		return errors.Join(t.all(dir), t.Close())
	})
}

// all adds everything in the folder, sorted.
func (t tree) all(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return t.folder(name, 0o755, 0)
		}
		return t.file(name, path, 0o644)
	})
}

// platformImage has the programs in /bin, their licences, and a folder for the data that belongs to the image's user. It has no entry point, so that a command
// can be any of the programs.
func (r release) platformImage(p platform) (v1.Image, error) {
	var content bytes.Buffer
	t := tree{tar.NewWriter(&content), r.date}
	if err := errors.Join(t.folder("bin", 0o755, 0), t.folder("data", 0o700, imageUser)); err != nil {
		return nil, err
	}
	for _, name := range programNames {
		if err := t.file("bin/"+name, r.program(p, name), 0o755); err != nil {
			return nil, err
		}
	}
	if err := t.folder("licenses", 0o755, 0); err != nil {
		return nil, err
	}
	for _, d := range []document{{"LICENSE", r.licence()}, {noticesName, r.program(p, noticesName)}} {
		if err := t.file("licenses/"+d.name, d.path, 0o644); err != nil {
			return nil, err
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.DefaultCompression), tarball.WithCompressedCaching)
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: r.date}, CreatedBy: "make packages"}})
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant, config.Created = "linux", p.arch, p.variant, v1.Time{Time: r.date}
	config.Config = v1.Config{
		Cmd:  []string{"/bin/garage", "standalone"},
		User: fmt.Sprintf("%d:%d", imageUser, imageUser), WorkingDir: "/", Env: []string{"PATH=/bin", "GARAGE_DATA=/data", "GARAGE_S3_LISTEN=0.0.0.0:3900"},
		ExposedPorts: map[string]struct{}{"3900/tcp": {}}, Volumes: map[string]struct{}{"/data": {}},
		Labels: map[string]string{
			"org.opencontainers.image.title": "Garage", "org.opencontainers.image.version": r.version,
			"org.opencontainers.image.revision": r.commit, "org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(img, config)
}
