package metadata

import (
	"path/filepath"

	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/metadata/pebble"
	"deuxfleurs.fr/garage/services/metadata/snapshot"
)

// database is what a store is to the service besides meta.Store.
type database interface {
	// Problem says why the store cannot serve, or is nil.
	Problem() error
	// Writable says why what adds metadata is refused, or is nil.
	Writable() error
	Close() error
	// The mark of a restore is durable, and the same for all services that share the store.
	snapshot.Marks
}

// open opens the store that the settings name.
func open(c Config, d Deps, onGarbage func()) (meta.Store, database, error) {
	if c.Store == StoreCQL {
		return openCQL(c, d, onGarbage)
	}
	s, err := pebble.Open(pebble.Config{
		Dir: filepath.Join(d.Folder, "metadata"), FS: d.FS, ClusterID: d.ClusterID, NoSync: !c.Fsync,
		Cache: int64(c.Cache), MemTable: int64(c.MemTable), Reserve: int64(c.Reserve), OnGarbage: onGarbage,
		Clock: d.Clock, Random: d.Random, Logger: d.Logger,
	})
	return s, s, err
}
