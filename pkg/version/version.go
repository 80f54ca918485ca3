// Package version says which version of Garage runs.
package version

import "runtime/debug"

// release is set by the linker in released programs: -X deuxfleurs.fr/garage/pkg/version.release=v1.2.3
var release string

// String is the release, or the commit that the program was built from, or "unknown".
func String() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			revision = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-modified"
		}
	}
	if revision == "" {
		return "unknown"
	}
	return "dev-" + revision + modified
}
