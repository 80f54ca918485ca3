package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
)

// release is what is packaged.
type release struct {
	root, programs, out string
	version, commit     string
	date                time.Time
	platforms           []platform
	maintainer          string              // of Debian's package
	licences            map[string][]string // of module@version, by their names in SPDX
}

// programNames are the programs of every package.
var programNames = []string{"garage", "s3-gateway", "metadata", "chunk-node", "rebalancer"}

// platform is a kind of machine, and what Debian and the packages call it.
type platform struct {
	arch, variant string // of OCI; arch is also Go's
	name, debian  string
}

var knownPlatforms = map[string]platform{
	"linux/amd64": {"amd64", "", "linux-amd64", "amd64"},
	"linux/arm64": {"arm64", "v8", "linux-arm64", "arm64"},
	"linux/arm":   {"arm", "v7", "linux-armv7", "armhf"},
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "package:", err)
		os.Exit(1)
	}
}

func run() error {
	var r release
	var epoch int64
	var platforms []string
	pflag.StringVar(&r.root, "root", "../..", "top of the repository")
	pflag.StringVar(&r.programs, "programs", "", "folder with the programs, in a folder for each platform, such as linux-amd64")
	pflag.StringVar(&r.out, "out", "", "folder for the packages")
	pflag.StringVar(&r.version, "version", "", "version of the release, as git describe tells it")
	pflag.StringVar(&r.commit, "commit", "", "commit of the release")
	pflag.Int64Var(&epoch, "date", 0, "time of the release, in seconds since 1970: that of the commit")
	pflag.StringSliceVar(&platforms, "platforms", nil, "platforms, such as linux/amd64")
	pflag.StringVar(&r.maintainer, "maintainer", "", "who is named as the maintainer of Debian's package, as Name <mail address>")
	pflag.Parse()
	if r.programs == "" || r.out == "" || r.version == "" || r.commit == "" || r.maintainer == "" || epoch == 0 || len(platforms) == 0 {
		return errors.New("--programs, --out, --version, --commit, --maintainer, --date and --platforms are needed; \"make packages\" gives them")
	}
	if who, err := mail.ParseAddress(r.maintainer); err != nil || who.Name == "" {
		return fmt.Errorf("the maintainer %q is not of the form Name <mail address>: give it as \"make packages MAINTAINER=…\"", r.maintainer)
	}
	r.date = time.Unix(epoch, 0).UTC()
	for _, name := range platforms {
		p, ok := knownPlatforms[name]
		if !ok {
			return fmt.Errorf("no packages are made for the platform %q", name)
		}
		r.platforms = append(r.platforms, p)
	}
	var err error
	if r.licences, err = r.writeNotices(); err != nil {
		return err
	}
	if err := r.packages(); err != nil {
		return err
	}
	return r.checksums()
}

// packages makes everything but the checksums.
func (r release) packages() error {
	var each errgroup.Group
	for _, p := range r.platforms {
		each.Go(func() error {
			return errors.Join(r.archive(p), r.deb(p), r.sbom(p))
		})
	}
	each.Go(r.image)
	return each.Wait()
}

// documents are the files that every package has besides the programs, by their names there.
func (r release) documents(p platform) []document {
	return []document{{"README.md", filepath.Join(r.root, "README.md")}, {"CHANGELOG.md", filepath.Join(r.root, "CHANGELOG.md")}, {noticesName, r.program(p, noticesName)}}
}

type document struct{ name, path string }

// licence is the path of the text of Garage's own.
func (r release) licence() string { return filepath.Join(r.root, "tools", "package", "LICENSE") }

// program is the path of a built program.
func (r release) program(p platform, name string) string {
	return filepath.Join(r.programs, p.name, name)
}

// name is the name of a package's file, such as garage-1.0-linux-amd64.tar.gz.
func (r release) name(rest string) string { return "garage-" + r.version + rest }

// write makes a file of the release.
func (r release) write(name string, content func(w io.Writer) error) error {
	f, err := os.Create(filepath.Join(r.out, name))
	if err != nil {
		return err
	}
	if err := errors.Join(content(f), f.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// checksums lists the SHA-256 of every file, in the form that "sha256sum --check" reads.
func (r release) checksums() error {
	entries, err := os.ReadDir(r.out) // sorted by name
	if err != nil {
		return err
	}
	const file = "SHA256SUMS"
	var list strings.Builder
	for _, e := range entries {
		if e.IsDir() || e.Name() == file {
			continue
		}
		sum, err := checksum(filepath.Join(r.out, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "%x  %s\n", sum, e.Name())
	}
	fmt.Print(list.String())
	return os.WriteFile(filepath.Join(r.out, file), []byte(list.String()), 0o644)
}

func checksum(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}
