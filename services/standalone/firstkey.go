package standalone

import (
	"context"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/services/standalone/credentials"
)

// addKey adds the first key; that it is there already, from a start that was interrupted, is no error.
func addKey(ctx context.Context, store meta.Keys, k credentials.Key) error {
	err := store.CreateKey(ctx, meta.Key{AccessKey: k.AccessKey, Secret: k.Secret, Name: credentials.KeyName,
		CreateBuckets: true, Created: clock.System{}.Now().UTC()})
	if !errors.IsEntity(err, errors.AlreadyExists, errors.AccessKey) {
		return err
	}
	there, err := store.Key(ctx, k.AccessKey)
	if err == nil && there.Secret != k.Secret {
		return errors.E(errors.AlreadyExists, errors.AccessKey, k.AccessKey, "there is a key with this access key and another secret")
	}
	return err
}
