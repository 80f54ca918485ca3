package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Room of a file system, below which something is said.
const (
	shareShort, shareLow = 0.05, 0.10
	bytesShort           = 1 << 30
)

// Time that a sync may take.
const (
	syncSlow    = 100 * time.Millisecond
	syncHanging = time.Second
)

// damage looks for chunks without a good copy.
func damage(f *Facts, found add) {
	lost, sought := 0, 0
	var names []string
	for _, d := range f.Damaged {
		if !d.GetLost() {
			sought++
			continue
		}
		lost++
		for _, o := range d.GetObjects() {
			if name := o.GetBucket() + "/" + o.GetKey(); o.GetBucket() != "" && len(names) < 3 && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	if lost > 0 {
		of := ""
		if names != nil {
			of = ", among them of " + strings.Join(names, ", ")
		}
		found(Error, "", "list the objects with: garage repair report; write them again from elsewhere, or bring back nodes and disks that are away",
			"at least %d chunks have no good copy on any node%s", lost, of)
	}
	if sought > 0 {
		found(Warning, "", "wait until nodes that are away are back, or begin now: garage repair", "of at least %d chunks a node lacks its good copy, and looks for one", sought)
	}
	for _, n := range f.Status.GetNodes() {
		if n.GetUncompared() {
			found(Warning, "chunk-node "+n.GetId(), "take no other node away, and wait: garage repair status --watch",
				"it began with an empty disk, and is still comparing with other nodes which copies it lacks")
		}
		if n.GetQuarantined() > 0 {
			found(Warning, "chunk-node "+n.GetId(), "look at its disks (smartctl) and its memory; the copies are fetched again by themselves", "%d chunks were found damaged on its disks and set aside", n.GetQuarantined())
		}
	}
}

// disks looks at folders and at what nodes say about theirs.
func disks(f *Facts, found add) {
	for _, n := range f.Status.GetNodes() {
		switch {
		case !n.GetAlive():
		case n.GetReadOnly():
			found(Error, "chunk-node "+n.GetId(), "make room, add disks or nodes, or delete objects; look at its log if a disk failed", "it takes no more chunks: %s", orUnknown(n.GetProblem()))
		case n.GetProblem() != "":
			found(Error, "chunk-node "+n.GetId(), "look at its log; a disk that failed is replaced and the node started again", "%s", n.GetProblem())
		}
	}
	for _, p := range f.Parts {
		for _, d := range p.GetDiagnosis().GetFolders() {
			subject := nameOf(p) + ", " + d.GetPath()
			if d.GetProblem() != "" {
				found(Error, subject, "look at the disk, the kernel's log (dmesg), and the rights of the folder", "it cannot be written as it should: %s", d.GetProblem())
			}
			if d.GetReadOnly() {
				found(Error, subject, "look at the kernel's log (dmesg) for errors of the disk; check and mount it again", "its file system is mounted read-only")
			}
			kind(subject, d.GetFileSystem(), found)
			room(subject, "bytes", d.GetSize(), d.GetFree(), bytesShort, sizeText, found)
			room(subject, "inodes", d.GetInodes(), d.GetFreeInodes(), 0, func(n int64) string { return fmt.Sprint(n) }, found)
		}
	}
}

// kind judges the type of a file system.
func kind(subject, name string, found add) {
	switch name {
	case "tmpfs", "ramfs":
		found(Error, subject, "move the folder to a disk", "it is in memory (%s): what is stored there is gone with the next power cut", name)
	case "nfs", "cifs", "smb2", "9p":
		found(Error, subject, "move the folder to a disk of the machine itself", "it is on a network file system (%s), whose syncs and locks promise less than Garage needs", name)
	case "overlayfs":
		found(Warning, subject, "mount a volume there", "it is in a container's own layer (%s), which goes with the container", name)
	case "vfat", "exfat":
		found(Warning, subject, "move the folder to ext4, xfs or btrfs", "its file system (%s) has no journal: a power cut may damage it", name)
	}
}

func room(subject, of string, size, free, short int64, text func(int64) string, found add) {
	if size <= 0 {
		return // it does not count them
	}
	share := float64(free) / float64(size)
	level := Warning
	switch {
	case share < shareShort, free < short:
		level = Error
	case share < shareLow:
	default:
		return
	}
	found(level, subject, "make room, add a disk or a node, or delete objects", "few %s are left: %s of %s, %.0f %%", of, text(free), text(size), 100*share)
}

// syncs looks how long writes take to be durable.
func syncs(f *Facts, found add) {
	for _, p := range f.Parts {
		for _, d := range p.GetDiagnosis().GetFolders() {
			took, level := d.GetSync().AsDuration(), Warning
			if took < syncSlow {
				continue
			}
			if took >= syncHanging {
				level = Error
			}
			found(level, nameOf(p)+", "+d.GetPath(), "each write waits for this: look whether something else keeps the disk busy (iostat -x), whether it fails (smartctl), or use an SSD, at least for chunk.index-folder",
				"making 4 KiB durable takes %v, up to %v", took.Round(time.Millisecond), d.GetSlowestSync().AsDuration().Round(time.Millisecond))
		}
	}
}
