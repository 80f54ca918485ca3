package convert

import (
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

var attemptStates = [...]metadatav1.AttemptState{
	meta.AttemptUnknown: metadatav1.AttemptState_ATTEMPT_STATE_UNKNOWN, meta.AttemptOpen: metadatav1.AttemptState_ATTEMPT_STATE_OPEN,
	meta.AttemptComplete: metadatav1.AttemptState_ATTEMPT_STATE_COMPLETE, meta.AttemptGarbage: metadatav1.AttemptState_ATTEMPT_STATE_GARBAGE,
}

// Attempts translates what attempts belong to.
func Attempts(attempts []meta.Attempt) []*metadatav1.Attempt {
	list := make([]*metadatav1.Attempt, len(attempts))
	for i, a := range attempts {
		list[i] = &metadatav1.Attempt{
			Id: a.ID[:], State: attemptStates[a.State], Bucket: ID(a.Bucket), BucketName: bytesOf(a.BucketName), Key: bytesOf(a.Key), Upload: ID(a.Upload),
		}
		if a.State == meta.AttemptComplete {
			list[i].Version = Version(a.Version)
		}
	}
	return list
}

// AttemptsFrom reads them. A state that is not known is refused: unknown attempts are removed.
func AttemptsFrom(list []*metadatav1.Attempt) ([]meta.Attempt, error) {
	attempts := make([]meta.Attempt, len(list))
	for i, p := range list {
		a := meta.Attempt{BucketName: string(p.GetBucketName()), Key: string(p.GetKey())}
		var problems [4]error
		a.ID, problems[0] = IDFrom(p.GetId())
		a.Bucket, problems[1] = IDFrom(p.GetBucket())
		a.Upload, problems[2] = IDFrom(p.GetUpload())
		if p.GetVersion() != nil {
			a.Version, problems[3] = VersionFrom(p.GetVersion())
		}
		if err := errors.Join(problems[:]...); err != nil {
			return nil, err
		}
		known := false
		for state, s := range attemptStates {
			if s == p.GetState() {
				a.State, known = meta.AttemptState(state), true
			}
		}
		if !known {
			return nil, errors.Newf(errors.Internal, "the metadata service tells a state of an attempt that is not known here: %v", p.GetState())
		}
		attempts[i] = a
	}
	return attempts, nil
}
