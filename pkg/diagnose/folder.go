package diagnose

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/durationpb"

	"deuxfleurs.fr/garage/pkg/clock"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

const (
	// syncs is how often the speed of a folder is tried, and syncFor how long at most.
	syncs   = 7
	syncFor = 2 * time.Second

	syncBytes = 4096
)

// folder is one that is measured.
type folder struct {
	path    string
	device  uint64 // its file system; 0: it could not be seen
	looking looking[*clusterv1.Folder]
}

// newFolder waits for the disk.
func newFolder(path string, c clock.Clock) *folder {
	f := &folder{path: path}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err == nil {
		f.device = uint64(st.Dev) //nolint:unconvert // it has another type on other machines
	}
	f.looking = looking[*clusterv1.Folder]{clock: c, look: func() *clusterv1.Folder {
		measured := &clusterv1.Folder{Path: path}
		if err := read(measured); err != nil {
			measured.Problem = err.Error()
		}
		return measured
	}}
	return f
}

// measure tells what a folder is like. A disk that hangs is not waited for longer than ctx.
func (f *folder) measure(ctx context.Context) *clusterv1.Folder {
	measured, since, ok := f.looking.wait(ctx)
	if !ok {
		return &clusterv1.Folder{Path: f.path, Problem: "the disk has not answered since " + since.UTC().Format(time.RFC3339)}
	}
	return measured
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
