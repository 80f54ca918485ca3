// Package install installs programs of others that tests and development use, at pinned versions: from Debian's packages, from Go
// modules, from Maven and from PyPI.
//
// What is not from Debian goes into a cache outside the repository: $XDG_CACHE_HOME/garage-tools, or ~/.cache/garage-tools. Every
// artefact in it carries a hash of what it was made from, is made under a lock of its own and put in place complete: running twice,
// or twice at once, installs once, and what is there already waits for nobody. Start reading at [Installer].
package install
