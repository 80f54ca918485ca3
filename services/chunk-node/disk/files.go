package disk

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/services/chunk-node/state"
)

// Folders of a disk.
const (
	blobsFolder      = "blobs"
	temporaryFolder  = "tmp"
	quarantineFolder = "quarantine"
	indexFolder      = "index"
	markerFile       = "disk.json"
	formattingFile   = "formatting" // there while an empty disk is made ready
)

const (
	compressedSuffix = ".zst"
	// fileCategory tells the file system layer's statistics what a file is for.
	fileCategory vfs.DiskWriteCategory = "chunk"
)

// blobPath is where the file of a blob is.
func (v *volume) blobPath(h chunk.Hash, compressed bool) string {
	p := make([]byte, 0, len(v.blobs)+2*chunk.HashSize+8)
	p = append(p, v.blobs...)
	p = append(p, '/')
	hexed := hex.AppendEncode(p, h[:])
	// One digit moves to make room for the separator after the third.
	hexed = append(hexed, 0)
	at := len(p) + 3
	copy(hexed[at+1:], hexed[at:])
	hexed[at] = '/'
	if compressed {
		hexed = append(hexed, compressedSuffix...)
	}
	return string(hexed)
}

func (v *volume) partitionPath(p chunk.Partition) string { return v.blobs + "/" + p.String() }

// parseBlobName reads the name of a file in a partition's folder.
func parseBlobName(p chunk.Partition, name string) (h chunk.Hash, compressed, ok bool) {
	rest, compressed := strings.CutSuffix(name, compressedSuffix)
	if strings.ToLower(rest) != rest {
		return h, false, false
	}
	h, err := chunk.ParseHash(p.String() + rest)
	return h, compressed, err == nil
}

// writeTemporary writes and syncs a new file and returns its path.
func (v *volume) writeTemporary(ctx context.Context, c content) (string, error) {
	path := v.temporary + "/" + strconv.FormatUint(v.serial.Add(1), 36)
	if v.direct && c.Stored >= directFrom {
		return path, v.writeDirect(ctx, path, c)
	}
	f, err := v.fs.Create(path, fileCategory)
	if err != nil {
		return "", v.writeFailed(err, "making", path)
	}
	for _, s := range c.segments {
		if err = v.write(f, s); err != nil {
			_ = f.Close() // the write's error is the one to tell
			v.removeQuietly(path)
			return "", v.writeFailed(err, "writing", path)
		}
	}
	if !v.o.NoSync {
		if err = v.timed(ctx, syncFile, f.SyncData); err != nil {
			_ = f.Close()
			return "", v.fail(err, "syncing %s", path)
		}
	}
	if err = f.Close(); err != nil {
		return "", v.fail(err, "closing %s", path)
	}
	return path, nil
}

// write writes bytes that are not ours. A vfs.File may change what it is given
// to write; that of the operating system does not.
func (v *volume) write(f vfs.File, p []byte) error {
	if v.fs != vfs.Default {
		p = append([]byte(nil), p...)
	}
	_, err := f.Write(p)
	return err
}

// writeDirect writes and syncs a new file past the page cache.
func (v *volume) writeDirect(ctx context.Context, path string, c content) error {
	var sync func(func() error) error
	if !v.o.NoSync {
		sync = func(f func() error) error { return v.timed(ctx, syncFile, f) }
	}
	err := writeDirect(path, c.segments, sync)
	if err == nil {
		return nil
	}
	if errors.As(err, new(syncError)) {
		return v.fail(err, "syncing %s", path)
	}
	v.removeQuietly(path)
	return v.writeFailed(err, "writing", path)
}

// removeQuietly removes a file that nothing needs; what stays is removed at the next start.
func (v *volume) removeQuietly(path string) {
	if err := v.fs.Remove(path); err != nil {
		v.log.Warn("a file that is not needed any more could not be removed", "path", path, "error", err)
	}
}

// removeBlob removes a file whose entry is gone. Its folder is synced at the
// latest before the disk is said to be clean: until then a power cut may bring
// the file back, and a check finds it.
func (v *volume) removeBlob(path string) {
	folder := v.fs.PathDir(path)
	v.removals.mu.Lock()
	if v.removals.folders == nil {
		v.removals.folders = make(map[string]struct{})
	}
	v.removals.folders[folder] = struct{}{}
	v.removals.mu.Unlock()
	v.removeQuietly(path)
}

// syncRemovals makes all removals durable.
func (v *volume) syncRemovals() error {
	v.removals.mu.Lock()
	defer v.removals.mu.Unlock()
	for folder := range v.removals.folders {
		if err := v.syncFolder(folder); err != nil {
			return v.fail(err, "syncing %s", folder)
		}
		delete(v.removals.folders, folder)
	}
	return nil
}

// intact reports whether the copy is where it should be, with its size.
func (v *volume) intact(h chunk.Hash, c state.Copy) (bool, error) {
	switch c.Place {
	case state.InFile:
		info, err := v.fs.Stat(v.blobPath(h, c.Compressed))
		if isNotExist(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		return info.Size() == int64(c.Stored), nil
	case state.InIndex:
		ok := false
		_, err := lookup(v.db, hashKey(keyBlob, h), func(p []byte) error {
			ok = len(p) == int(c.Stored)
			return nil
		})
		return ok, err
	}
	return false, nil
}

// syncFolder makes what was renamed into a folder durable.
func (v *volume) syncFolder(path string) error {
	d, err := v.fs.OpenDir(path)
	if err != nil {
		return err
	}
	err = v.timed(context.Background(), syncDirectory, d.Sync)
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}
