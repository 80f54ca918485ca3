// Command package makes the packages of a release from programs that were built already: "make packages".
//
// For each platform it writes an archive (tar.gz), a Debian package and a list of what is in the programs (CycloneDX); besides, one image
// for all platforms as a tarball of OCI's layout, and the checksums of it all.
//
// Every package has the licences and notices of the modules that are in the programs, from the sources of which they were built; a module
// without a licence that is known is an error (licences.go).
//
// Invariant: what is written depends on the programs, their modules, the files of the repository, the version, the date and the maintainer alone.
// Nothing is taken from the machine: no clock, no name or number of a user, no mode of a file, no order of a folder.
//
// Start reading at main; debian/ and systemd/ hold what Debian's package has besides the programs.
package main
