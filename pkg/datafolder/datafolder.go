package datafolder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/uuid"
)

// Format is the version of the folder's layout that this program writes. A program reads its own
// version and older ones.
const Format = 1

const (
	infoFile = "garage.json"
	lockFile = "garage.lock"
)

// ErrInUse says that another process has the folder open.
var ErrInUse = errors.New("the data folder is in use by another process")

// Info is what garage.json holds.
type Info struct {
	// Format is the version of the folder's layout.
	Format int `json:"format"`
	// ClusterID is the same in every data folder of one cluster.
	ClusterID uuid.UUID `json:"cluster_id"`
	// Service is whose folder it is: "standalone", "chunk-node" …
	Service string `json:"service"`
	// NodeID identifies this folder's owner within the cluster, and stays when it moves.
	NodeID uuid.UUID `json:"node_id"`
}

// Options say what Open expects or writes.
type Options struct {
	// Service owns the folder; a folder of another service is refused.
	Service string
	// ClusterID, if set, is written into a new folder and must be that of an existing one. If it is
	// not set, a new folder gets what NewCluster returns, and without that a new cluster.
	ClusterID  uuid.UUID
	NewCluster func() (uuid.UUID, error)
}

// Folder is an open data folder. Close it when its owner has stopped.
type Folder struct {
	path  string
	info  Info
	fresh bool
	lock  *os.File
}

// Open opens the folder at path, and makes it (mode 0700) when it does not exist or is empty. It
// returns an error that wraps ErrInUse when another process holds it, and plain errors when it is of
// a newer format, of another service or cluster, or not a data folder at all.
func Open(path string, o Options) (*Folder, error) {
	if path == "" {
		return nil, errors.New("data folder: the path is empty")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", path, err)
	}
	if err := MakeAll(path); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	lock, err := acquire(filepath.Join(path, lockFile))
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", path, err)
	}
	f := &Folder{path: path, lock: lock}
	if err := f.load(o); err != nil {
		return nil, errors.Join(fmt.Errorf("data folder %s: %w", path, err), f.Close())
	}
	return f, nil
}

func (f *Folder) load(o Options) error {
	content, err := os.ReadFile(filepath.Join(f.path, infoFile))
	if errors.Is(err, fs.ErrNotExist) {
		return f.create(o)
	}
	if err != nil {
		return err
	}
	// The format is read alone first: a newer one may have changed the rest.
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(content, &version); err != nil || version.Format < 1 {
		return fmt.Errorf("%s is damaged; restore it from a backup of this folder", infoFile)
	}
	if version.Format > Format {
		return fmt.Errorf("its format is %d, and this program knows formats up to %d: start it with the newer version of Garage that wrote it", version.Format, Format)
	}
	if err := json.Unmarshal(content, &f.info); err != nil {
		return fmt.Errorf("%s is damaged: %w", infoFile, err)
	}
	if o.Service != "" && f.info.Service != o.Service {
		return fmt.Errorf("it belongs to %s, not to %s: give each service a folder of its own", f.info.Service, o.Service)
	}
	if o.ClusterID != uuid.Nil && f.info.ClusterID != o.ClusterID {
		return fmt.Errorf("it belongs to the cluster %s, not to %s: mixing clusters would lose data", f.info.ClusterID, o.ClusterID)
	}
	return nil
}

func (f *Folder) create(o Options) error {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		// What an interrupted first start or an operator preparing the folder leaves is no obstacle.
		switch e.Name() {
		case lockFile, infoFile + temporarySuffix, "lost+found", "admin.token":
		default:
			return fmt.Errorf("it holds %q but no %s: it is not a data folder; choose an empty one", e.Name(), infoFile)
		}
	}
	f.fresh = true
	f.info = Info{Format: Format, ClusterID: o.ClusterID, Service: o.Service, NodeID: uuid.New()}
	switch {
	case o.ClusterID != uuid.Nil:
	case o.NewCluster != nil:
		if f.info.ClusterID, err = o.NewCluster(); err != nil {
			return fmt.Errorf("the cluster of a new folder: %w", err)
		}
	default:
		f.info.ClusterID = uuid.New()
	}
	content, err := json.MarshalIndent(f.info, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(filepath.Join(f.path, infoFile), append(content, '\n'), 0o600)
}

// Path joins names to the folder's absolute path.
func (f *Folder) Path(names ...string) string {
	return filepath.Join(append([]string{f.path}, names...)...)
}

// Info is what the folder says of itself.
func (f *Folder) Info() Info { return f.info }

// Fresh tells whether this Open made the folder.
func (f *Folder) Fresh() bool { return f.fresh }

// Close gives up the lock.
func (f *Folder) Close() error { return f.lock.Close() }

// acquire takes the lock. The file stays: removing it would let two processes lock two files.
func acquire(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrInUse
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
