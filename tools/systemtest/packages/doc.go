// Package packages tests what "make packages" makes as those who get it use it: the Debian package in a Debian of its own, its units run
// as systemd would run them, the programs for other machines under an emulator, the image unpacked.
//
// It builds the packages from the files of this checkout as they are, and needs root. Start reading at build.
package packages
