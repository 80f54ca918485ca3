package main

import (
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
)

// debServices are the services that the package has a unit, a user and a configuration for.
var debServices = []string{"standalone", "s3-gateway", "metadata", "chunk-node", "rebalancer"}

const debDescription = `S3 object store for a handful of ordinary machines
 Garage keeps two or three copies of everything, each in another place, and
 needs no more than small machines behind home internet links. The package has
 Garage in one process (garage-standalone.service), each service by itself
 (garage-s3-gateway, garage-metadata, garage-chunk-node, garage-rebalancer),
 and the operator's command line. Nothing is enabled or started by itself.`

// deb writes Debian's package.
func (r release) deb(p platform) error {
	source := filepath.Join(r.root, "tools", "package")
	scripts := filepath.Join(source, "debian")
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "garage", Arch: p.debian, Platform: "linux", Version: debVersion(r.version, r.commit, r.date), VersionSchema: "none",
		Section: "net", Priority: "optional", Maintainer: r.maintainer,
		Description: debDescription, MTime: r.date, DisableGlobbing: true,
		Overridables: nfpm.Overridables{
			Depends: []string{"adduser"}, Recommends: []string{"ca-certificates"},
			Contents: r.debContents(p, source),
			Scripts: nfpm.Scripts{
				PostInstall: filepath.Join(scripts, "postinst"), PreRemove: filepath.Join(scripts, "prerm"), PostRemove: filepath.Join(scripts, "postrm"),
			},
			Deb: nfpm.Deb{Compression: "zstd"},
		},
	})
	return r.write(fmt.Sprintf("garage_%s_%s.deb", info.Version, p.debian), func(w io.Writer) error { return deb.Default.Package(info, w) })
}

func (r release) debContents(p platform, source string) files.Contents {
	var all files.Contents
	add := func(from, to, kind string, mode uint32) {
		all = append(all, &files.Content{Source: from, Destination: to, Type: kind,
			FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: fs.FileMode(mode), MTime: r.date}})
	}
	for _, name := range programNames {
		folder := "/usr/lib/garage/" // where their short names are in nobody's way
		if name == "garage" {
			folder = "/usr/bin/"
		}
		add(r.program(p, name), folder+name, files.TypeFile, 0o755)
	}
	units := "/usr/lib/systemd/system/"
	for _, name := range debServices {
		unit := "garage-" + name + ".service"
		add(filepath.Join(source, "systemd", unit), units+unit, files.TypeFile, 0o644)
		add(filepath.Join(source, "debian", name+".yaml"), "/etc/garage/"+name+".yaml", files.TypeConfigNoReplace, 0o644)
		// Secrets: systemd reads it as root before it starts the service.
		add(filepath.Join(source, "debian", "secrets.env"), "/etc/garage/"+name+".env", files.TypeConfigNoReplace, 0o600)
	}
	add(filepath.Join(source, "systemd", "common.conf"), units+"garage-.service.d/common.conf", files.TypeFile, 0o644)
	doc := "/usr/share/doc/garage/"
	add(filepath.Join(source, "debian", "copyright"), doc+"copyright", files.TypeFile, 0o644)
	for _, d := range r.documents(p) {
		add(d.path, doc+d.name, files.TypeFile, 0o644)
	}
	return all
}

// debVersion is the version as Debian orders it: what comes after a tag is newer than the tag, and what has no tag is older than any.
func debVersion(version, commit string, date time.Time) string {
	v := strings.TrimPrefix(version, "v")
	if v == "" || !unicode.IsDigit(rune(v[0])) || strings.HasPrefix(commit, strings.TrimSuffix(v, modified)) {
		// A commit without a tag before it; its name may begin with a digit.
		return "0~" + date.Format("20060102150405") + "." + strings.ReplaceAll(v, "-", ".")
	}
	tag, after, some := strings.Cut(v, "-")
	if !some {
		return tag
	}
	separator := "+"
	if first := rune(after[0]); !unicode.IsDigit(first) && "-"+after != modified {
		separator = "~" // 1.0-rc1 comes before 1.0
	}
	return tag + separator + strings.ReplaceAll(after, "-", ".")
}

// modified is what git describe is told to add for files that are not as in the commit.
const modified = "-modified"
