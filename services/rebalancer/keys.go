package rebalancer

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"deuxfleurs.fr/garage/pkg/accesskey"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

const (
	defaultPage = 1000
	maxPage     = 1000
)

func pageSize(limit uint32) int {
	if limit == 0 {
		return defaultPage
	}
	return int(min(limit, maxPage))
}

// CreateKey makes a key with a new secret.
func (s *Service) CreateKey(ctx context.Context, r *adminv1.CreateKeyRequest) (*adminv1.CreateKeyResponse, error) {
	if err := checkKeyName(r.GetName()); err != nil {
		return nil, err
	}
	accessKey, secret, err := accesskey.Generate(s.deps.Random)
	if err != nil {
		return nil, errors.Wrap(errors.Internal, err, "drawing a key")
	}
	key, err := s.addKey(ctx, meta.Key{AccessKey: accessKey, Secret: secret, Name: r.GetName(), CreateBuckets: r.GetCreateBuckets()})
	if err != nil {
		return nil, err
	}
	return &adminv1.CreateKeyResponse{Key: keyMessage(key, true)}, nil
}

// ImportKey adds a key that was made elsewhere. Importing the same key again changes nothing.
func (s *Service) ImportKey(ctx context.Context, r *adminv1.ImportKeyRequest) (*adminv1.ImportKeyResponse, error) {
	if err := checkKeyName(r.GetName()); err != nil {
		return nil, err
	}
	if err := checkImported(r.GetAccessKey(), r.GetSecret()); err != nil {
		return nil, err
	}
	wanted := meta.Key{AccessKey: r.GetAccessKey(), Secret: r.GetSecret(), Name: r.GetName(), CreateBuckets: r.GetCreateBuckets()}
	key, err := s.addKey(ctx, wanted)
	if errors.IsEntity(err, errors.AlreadyExists, errors.AccessKey) {
		there, findErr := s.deps.Store.Key(ctx, wanted.AccessKey)
		if findErr != nil {
			return nil, findErr
		}
		wanted.Created = there.Created
		if there != wanted {
			return nil, errors.E(errors.AlreadyExists, errors.AccessKey, wanted.AccessKey, "there is a key with this access key and another name, secret or permission; delete it first to replace it")
		}
		key, err = there, nil
	}
	if err != nil {
		return nil, err
	}
	return &adminv1.ImportKeyResponse{Key: keyMessage(key, false)}, nil
}

func (s *Service) addKey(ctx context.Context, key meta.Key) (meta.Key, error) {
	key.Created = s.deps.Clock.Now().UTC()
	if err := s.deps.Store.CreateKey(ctx, key); err != nil {
		return meta.Key{}, err
	}
	s.deps.Logger.InfoContext(ctx, "key made", "access_key", key.AccessKey, "name", key.Name, "create_buckets", key.CreateBuckets)
	return key, nil
}

// ListKeys lists keys in the order of their access keys.
func (s *Service) ListKeys(ctx context.Context, r *adminv1.ListKeysRequest) (*adminv1.ListKeysResponse, error) {
	page, err := s.deps.Store.ListKeys(ctx, r.GetAfter(), pageSize(r.GetLimit()))
	if err != nil {
		return nil, err
	}
	answer := &adminv1.ListKeysResponse{More: page.More}
	for _, k := range page.Keys {
		answer.Keys = append(answer.Keys, keyMessage(k, false))
	}
	return answer, nil
}

// GetKey tells about one key and the buckets it has rights on.
func (s *Service) GetKey(ctx context.Context, r *adminv1.GetKeyRequest) (*adminv1.GetKeyResponse, error) {
	key, err := s.findKey(ctx, r.GetKey())
	if err != nil {
		return nil, err
	}
	answer := &adminv1.GetKeyResponse{Key: keyMessage(key, r.GetShowSecret())}
	for after := ""; ; {
		page, err := s.deps.Store.ListBuckets(ctx, meta.ListBuckets{Grantees: []string{key.AccessKey}, After: after, Limit: maxPage})
		if err != nil {
			return nil, err
		}
		for _, b := range page.Buckets {
			answer.Buckets = append(answer.Buckets, &adminv1.BucketGrant{Bucket: b.Name, Rights: rightsMessage(b.Rights(key.AccessKey))})
			after = b.Name
		}
		if !page.More || len(page.Buckets) == 0 {
			return answer, nil
		}
	}
}

// DeleteKey removes a key and its rights; buckets stay. It answers when no gateway knows the key any more.
func (s *Service) DeleteKey(ctx context.Context, r *adminv1.DeleteKeyRequest) (*adminv1.DeleteKeyResponse, error) {
	key, err := s.findKey(ctx, r.GetKey())
	if err != nil {
		return nil, err
	}
	if err := s.deps.Store.DeleteKey(ctx, key.AccessKey); err != nil {
		return nil, err
	}
	s.deps.Logger.InfoContext(ctx, "key deleted", "access_key", key.AccessKey, "name", key.Name)
	if err := clock.Sleep(ctx, s.deps.Clock, s.config.Settle); err != nil {
		return nil, errors.Wrap(errors.Deadline, err, "the key is deleted, but gateways may know it for up to %s", s.config.Settle)
	}
	return &adminv1.DeleteKeyResponse{}, nil
}

// findKey finds a key by its access key, or else by its name where only one key has it.
func (s *Service) findKey(ctx context.Context, nameOrKey string) (meta.Key, error) {
	if nameOrKey == "" {
		return meta.Key{}, errors.E(errors.Invalid, errors.AccessKey, "", "give an access key or the name of a key")
	}
	key, err := s.deps.Store.Key(ctx, nameOrKey)
	if !errors.IsEntity(err, errors.NotFound, errors.AccessKey) {
		return key, err
	}
	var found []meta.Key
	for after := ""; ; {
		page, err := s.deps.Store.ListKeys(ctx, after, maxPage)
		if err != nil {
			return meta.Key{}, err
		}
		for _, k := range page.Keys {
			if k.Name == nameOrKey {
				found = append(found, k)
			}
			after = k.AccessKey
		}
		if !page.More || len(page.Keys) == 0 {
			break
		}
	}
	switch len(found) {
	case 0:
		return meta.Key{}, errors.E(errors.NotFound, errors.AccessKey, nameOrKey, "no key has this access key or name; list the keys with: garage key list")
	case 1:
		return found[0], nil
	}
	return meta.Key{}, errors.E(errors.Conflict, errors.AccessKey, nameOrKey, "%d keys have this name; give the access key instead, as garage key list shows it", len(found))
}

func keyMessage(k meta.Key, withSecret bool) *adminv1.Key {
	m := &adminv1.Key{AccessKey: k.AccessKey, Name: k.Name, CreateBuckets: k.CreateBuckets, Created: timestamppb.New(k.Created)}
	if withSecret {
		m.Secret = k.Secret
	}
	return m
}
