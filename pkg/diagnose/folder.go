package diagnose

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/durationpb"

	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

const (
	// syncs is how often the speed of a folder is tried, and syncFor how long at most.
	syncs   = 7
	syncFor = 2 * time.Second

	syncBytes = 4096
)

// distinct are folders, without those on the file system of one before.
func distinct(paths []string) []*clusterv1.Folder {
	var all []*clusterv1.Folder
	seen := map[uint64]bool{}
	for _, path := range paths {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err == nil {
			device := uint64(st.Dev) //nolint:unconvert // it has another type on other machines
			if seen[device] {
				continue
			}
			seen[device] = true
		}
		all = append(all, &clusterv1.Folder{Path: path})
	}
	return all
}

// measure fills in what a folder is like. A disk that hangs is not waited for longer than ctx.
func measure(ctx context.Context, f *clusterv1.Folder) {
	measured := &clusterv1.Folder{Path: f.GetPath()}
	done := make(chan struct{})
	// A system call cannot be given up: its goroutine ends with it, and touches only what it has made.
	go func() {
		defer close(done)
		if err := read(measured); err != nil {
			measured.Problem = err.Error()
		}
	}()
	select {
	case <-done:
		f.FileSystem, f.Size, f.Free, f.Inodes, f.FreeInodes = measured.FileSystem, measured.Size, measured.Free, measured.Inodes, measured.FreeInodes
		f.ReadOnly, f.Sync, f.SlowestSync, f.Problem = measured.ReadOnly, measured.Sync, measured.SlowestSync, measured.Problem
	case <-ctx.Done():
		f.Problem = "the disk has not answered in time"
	}
}

func read(f *clusterv1.Folder) error {
	var st unix.Statfs_t
	if err := unix.Statfs(f.GetPath(), &st); err != nil {
		return fmt.Errorf("%s: %w", f.GetPath(), err)
	}
	unit := int64(st.Bsize) //nolint:unconvert // it has another type on other machines
	f.FileSystem, f.Size, f.Free = fileSystem(int64(st.Type)), int64(st.Blocks)*unit, int64(st.Bavail)*unit
	f.Inodes, f.FreeInodes = int64(st.Files), int64(st.Ffree)
	if f.ReadOnly = st.Flags&unix.ST_RDONLY != 0; f.ReadOnly {
		return nil
	}
	took, err := syncTimes(f.GetPath())
	if err != nil {
		return err
	}
	slices.Sort(took)
	f.Sync, f.SlowestSync = durationpb.New(took[len(took)/2]), durationpb.New(took[len(took)-1])
	return nil
}

// syncTimes writes a little to a file without a name and makes it durable, some times.
func syncTimes(folder string) (took []time.Duration, err error) {
	file, err := os.CreateTemp(folder, ".sync-*")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := os.Remove(file.Name()); err != nil {
		return nil, err
	}
	content := make([]byte, syncBytes)
	for began := time.Now(); len(took) < syncs && (len(took) == 0 || time.Since(began) < syncFor); {
		if _, err := file.Write(content); err != nil {
			return nil, err
		}
		at := time.Now()
		if err := file.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(at))
	}
	return took, nil
}

// fileSystems are the magic numbers of Linux's statfs.
var fileSystems = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs", unix.NFS_SUPER_MAGIC: "nfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlayfs", unix.F2FS_SUPER_MAGIC: "f2fs", unix.FUSE_SUPER_MAGIC: "fuse", unix.MSDOS_SUPER_MAGIC: "vfat",
	unix.EXFAT_SUPER_MAGIC: "exfat", unix.RAMFS_MAGIC: "ramfs", 0x2fc12fc1: "zfs", 0xff534d42: "cifs", 0xfe534d42: "smb2",
	unix.SQUASHFS_MAGIC: "squashfs", 0x01021997: "9p", 0xca451a4e: "bcachefs",
}

func fileSystem(magic int64) string {
	if name := fileSystems[magic&0xffffffff]; name != "" {
		return name
	}
	return fmt.Sprintf("%#x", magic&0xffffffff)
}
