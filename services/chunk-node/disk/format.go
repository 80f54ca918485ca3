package disk

import (
	"encoding/json"
	"io"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

// Format is the version of a disk's folder that this program writes.
const Format = 1

// identity is what disk.json and the index both say.
type identity struct {
	Format      int       `json:"format"`
	ClusterID   uuid.UUID `json:"cluster_id"`
	NodeID      uuid.UUID `json:"node_id"`
	Incarnation uuid.UUID `json:"incarnation"`
}

// prepare makes an empty disk's folders durable. What an interrupted format
// left is removed: formattingFile says that nothing else is there.
func (v *volume) prepare() error {
	formatting := v.disk.Path + "/" + formattingFile
	if _, err := v.fs.Stat(formatting); err == nil {
		if err := v.fs.RemoveAll(v.disk.Index); err != nil {
			return err
		}
	} else {
		for _, folder := range []string{v.blobs, v.disk.Index} {
			if names, err := v.fs.List(folder); err == nil && len(names) > 0 {
				return errors.E(errors.Invalid, errors.Folder, v.disk.Path, "%s is not empty, but there is no %s: restore that file, or choose an empty folder", folder, markerFile)
			}
		}
		if err := v.fs.MkdirAll(v.disk.Path, 0o700); err != nil {
			return err
		}
		if err := v.writeSynced(formatting, nil); err != nil {
			return err
		}
		if err := v.syncFolder(v.disk.Path); err != nil {
			return err
		}
	}
	for _, p := range []string{v.blobs, v.temporary, v.quarantine, v.disk.Index} {
		if err := v.fs.MkdirAll(p, 0o700); err != nil {
			return err
		}
	}
	for _, p := range []string{v.disk.Path, v.fs.PathDir(v.disk.Path), v.fs.PathDir(v.disk.Index)} {
		if err := v.syncFolder(p); err != nil {
			return err
		}
	}
	return nil
}

func (v *volume) writeSynced(path string, content []byte) error {
	f, err := v.fs.Create(path, fileCategory)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// format gives the disk its identity, in the index first: the marker comes last.
func (v *volume) format() error {
	incarnation, err := clock.NewUUID(v.o.Random)
	if err != nil {
		return err
	}
	v.identity = identity{Format: Format, ClusterID: v.o.ClusterID, NodeID: v.o.NodeID, Incarnation: incarnation}
	content, err := json.Marshal(v.identity)
	if err != nil {
		return err
	}
	if err := v.set(metaKey(metaIdentity), content); err != nil {
		return err
	}
	path := v.disk.Path + "/" + markerFile
	if err := v.writeSynced(path+".tmp", append(content, '\n')); err != nil {
		return err
	}
	if err := v.fs.Rename(path+".tmp", path); err != nil {
		return err
	}
	return v.syncFolder(v.disk.Path) // start removes formattingFile
}

// readMarker reads disk.json. It reports whether the disk has to be formatted.
func (v *volume) readMarker() (fresh bool, err error) {
	f, err := v.fs.Open(v.disk.Path + "/" + markerFile)
	if isNotExist(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	content, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return false, err
	}
	var version struct{ Format int }
	if err := json.Unmarshal(content, &version); err != nil || version.Format < 1 {
		return false, errors.E(errors.Invalid, errors.Folder, v.disk.Path, "%s is damaged: restore it from a backup", markerFile)
	}
	if version.Format > Format {
		return false, errors.E(errors.Invalid, errors.Folder, v.disk.Path, "its format is %d, and this program knows formats up to %d: start it with the newer version of Garage that wrote it", version.Format, Format)
	}
	if err := json.Unmarshal(content, &v.identity); err != nil {
		return false, errors.E(errors.Invalid, errors.Folder, v.disk.Path, "%s is damaged: %v", markerFile, err)
	}
	switch {
	case v.ClusterID != v.o.ClusterID:
		return false, errors.E(errors.Invalid, errors.Folder, v.disk.Path, "it belongs to the cluster %v, not to %v", v.ClusterID, v.o.ClusterID)
	case v.NodeID != v.o.NodeID:
		return false, errors.E(errors.Invalid, errors.Folder, v.disk.Path, "it belongs to the node %v, not to %v", v.NodeID, v.o.NodeID)
	}
	return false, nil
}

func (v *volume) checkIdentity() error {
	var indexed identity
	found, err := lookup(v.db, metaKey(metaIdentity), func(p []byte) error { return json.Unmarshal(p, &indexed) })
	if err != nil {
		return err
	}
	if !found || indexed.Incarnation != v.Incarnation {
		return errors.E(errors.Invalid, errors.Folder, v.disk.Path, "the index in %s is not the one of its blobs: put the right one there; without it the disk must be formatted anew and filled from other nodes", v.disk.Index)
	}
	return nil
}
