// Package restore destroys all metadata of a deployment and brings it back from a snapshot: from its file, and from the recovery code
// alone. Each object of the snapshot must be read back as it was.
package restore
