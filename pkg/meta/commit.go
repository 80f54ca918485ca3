package meta

import (
	"time"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
)

// Commit names a write that has no upload, so that it can be repeated. The zero value is a write that cannot be.
type Commit struct {
	// ID is drawn by NewCommitID for this write alone. The version that it makes has it.
	ID uuid.UUID
	// Again says that the write may have happened before: the store looks.
	Again bool
}

// CommitKept is how long a store knows a commit again, since its ID was drawn.
const CommitKept = 10 * time.Minute

// NewCommitID makes the ID of a write without upload, as NewUploadID does.
func NewCommitID(now time.Time, random clock.Random) (uuid.UUID, error) {
	return NewUploadID(now, random)
}

// Check refuses IDs that are not of NewCommitID. Kinds: Invalid.
func (c Commit) Check(key string) error {
	if c.ID == uuid.Nil && c.Again || c.ID != uuid.Nil && c.ID.Version() != 7 {
		return errors.E(errors.Invalid, errors.Object, key, "%v is not the ID of a commit", c.ID)
	}
	return nil
}
