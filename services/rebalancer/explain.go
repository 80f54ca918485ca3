package rebalancer

import (
	"context"

	"deuxfleurs.fr/garage/pkg/access"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/meta"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// ExplainAccess tells whether somebody may do something, as gateways decide, and why. Gateways keep buckets, keys and what LDAP says for a
// short time, so that one may still decide by what was before.
func (s *Service) ExplainAccess(ctx context.Context, r *adminv1.ExplainAccessRequest) (*adminv1.ExplainAccessResponse, error) {
	if r.GetKey() != "" && r.GetPerson() != "" {
		return nil, errors.Newf(errors.Invalid, "say who: a key or a person, or neither for somebody who does not sign")
	}
	operation, need, err := access.Find(r.GetAction(), r.GetBucket() != "", r.GetObject() != "")
	if err != nil {
		return nil, err
	}
	if need.Rights != 0 && r.GetBucket() == "" {
		return nil, errors.Newf(errors.Invalid, "%s is about a bucket: say which", operation)
	}
	answer := &adminv1.ExplainAccessResponse{Operation: operation, Needed: rightsMessage(need.Rights), Ldap: s.deps.Directory != nil}
	who, err := s.subject(ctx, r, answer)
	if who == nil && (r.GetKey() != "" || r.GetPerson() != "") {
		return answer, err
	}
	var bucket *meta.Bucket
	if need.Rights != 0 {
		b, err := s.deps.Store.Bucket(ctx, r.GetBucket())
		switch {
		case err == nil:
			bucket = &b
		case !errors.Is(err, errors.NotFound):
			return nil, err
		}
	}
	if who != nil {
		answer.Who = who.ID()
		for _, p := range who.Principals {
			if group, is := identity.GroupOf(p); is {
				answer.Groups = append(answer.Groups, group)
			}
		}
		if bucket != nil {
			answer.Has = rightsMessage(access.Rights(who, *bucket))
		}
	}
	allowed, reasons := access.Explain(who, operation, need, r.GetBucket(), bucket)
	answer.Allowed = allowed
	for _, one := range reasons {
		answer.Reasons = append(answer.Reasons, &adminv1.Reason{Verdict: adminv1.Verdict(one.Verdict + 1), Source: one.Source, Text: one.Text})
	}
	return answer, nil
}

// subject finds who asks, and adds to the answer who that is. It returns nil for somebody who does not sign, and when the answer is complete because
// there is nobody of that name, or nobody can tell.
func (s *Service) subject(ctx context.Context, r *adminv1.ExplainAccessRequest, answer *adminv1.ExplainAccessResponse) (*identity.Identity, error) {
	say := func(v adminv1.Verdict, text string) {
		answer.Reasons = append(answer.Reasons, &adminv1.Reason{Verdict: v, Source: access.FromIdentity, Text: text})
	}
	var id identity.Identity
	var err error
	switch {
	case r.GetPerson() != "" && s.deps.Directory == nil:
		answer.Unknown = "this rebalancer has no LDAP server to ask about people: give it the settings identity.ldap that gateways have"
		say(adminv1.Verdict_VERDICT_REFUSES, answer.Unknown)
		return nil, nil
	case r.GetPerson() != "":
		id, err = s.deps.Directory.FindPerson(ctx, r.GetPerson())
	case r.GetKey() != "":
		id, err = s.findIdentity(ctx, r.GetKey())
	default:
		say(adminv1.Verdict_VERDICT_NOTE, "somebody who does not sign")
		return nil, nil
	}
	switch {
	case errors.Is(err, errors.NotFound):
		text := err.Error()
		if s.deps.Directory == nil {
			text += "; this rebalancer has no LDAP server to ask, so gateways that have one may know it"
		}
		say(adminv1.Verdict_VERDICT_REFUSES, text)
		return nil, nil
	case errors.Is(err, errors.Unavailable), errors.Is(err, errors.Overloaded):
		answer.Unknown = err.Error()
		say(adminv1.Verdict_VERDICT_REFUSES, "it is not known who that is: "+answer.Unknown)
		return nil, nil
	case err != nil:
		return nil, err
	}
	if name, person := identity.PersonOf(id.ID()); person {
		say(adminv1.Verdict_VERDICT_NOTE, "LDAP says: the access key "+id.AccessKey+" is that of "+name)
	} else {
		say(adminv1.Verdict_VERDICT_NOTE, "the access key "+id.AccessKey+" is built in and has the name "+id.Name)
	}
	return &id, nil
}

// findIdentity finds who has an access key, or a built-in key by its name.
func (s *Service) findIdentity(ctx context.Context, key string) (identity.Identity, error) {
	id, err := s.deps.Identities.Find(ctx, key)
	if !errors.Is(err, errors.NotFound) {
		return id, err
	}
	if k, e := s.findKey(ctx, key); e == nil {
		return s.deps.Identities.Find(ctx, k.AccessKey)
	} else if !errors.Is(e, errors.NotFound) {
		return id, e
	}
	return id, err
}
