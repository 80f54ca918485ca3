// Package version says which version of Garage runs.
package version

import "runtime/debug"

// Set by the linker in programs that make builds: -X deuxfleurs.fr/garage/pkg/version.release=v1.2.3
var release, commit string

// String is the release, or the commit that the program was built from, or "unknown".
func String() string {
	if release != "" {
		return release
	}
	revision, modified := built()
	if revision == "" {
		return "unknown"
	}
	return "dev-" + revision[:min(len(revision), 12)] + modified
}

// Commit is the commit that the program was built from, with "-modified" if files were changed since, or "unknown".
func Commit() string {
	if commit != "" {
		return commit
	}
	revision, modified := built()
	if revision == "" {
		return "unknown"
	}
	return revision + modified
}

// built is what Go itself notes in a program that is built in a checkout.
func built() (revision, modified string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", ""
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "-modified"
		}
	}
	return revision, modified
}
