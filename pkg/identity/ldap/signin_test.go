//go:build stack

package ldap

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
)

const operatorsDN = "cn=operators,ou=groups," + suffix

func TestAMembershipThatEndsIsFoundWithinTheCacheTime(t *testing.T) {
	s := newSlapd(t)
	o, admin := open(t, s.config()), s.admin()
	name, err := o.SignIn(t.Context(), "ann", "ann-for-development", "operators")
	require.NoError(t, err)
	require.NoError(t, o.CheckMember(t.Context(), name, "operators"))
	for _, c := range [][2]string{{"ben", "operators"}, {"nobody", "operators"}, {"ann", "photo*"}, {"*", "operators"}} {
		err := o.CheckMember(t.Context(), c[0], c[1])
		require.True(t, errors.Is(err, errors.PermissionDenied), "%q: %v", c, err)
	}
	// A group of LDAP has at least one member.
	modify(t, admin, operatorsDN, func(r *ldap.ModifyRequest) { r.Replace("member", []string{benDN}) })
	require.NoError(t, o.CheckMember(t.Context(), name, "operators"), "kept")
	o.clock.Advance(o.config.CacheTime)
	err = o.CheckMember(t.Context(), name, "operators")
	require.True(t, errors.Is(err, errors.PermissionDenied), "%v", err)
	require.NoError(t, o.CheckMember(t.Context(), "ben", "operators"))

	// Who signs in is told what is so now, and so is who checks after it.
	modify(t, admin, operatorsDN, func(r *ldap.ModifyRequest) { r.Replace("member", []string{annDN}) })
	_, err = o.SignIn(t.Context(), "ben", "ben-for-development", "operators")
	require.True(t, errors.Is(err, errors.PermissionDenied), "%v", err)
	err = o.CheckMember(t.Context(), "ben", "operators")
	require.True(t, errors.Is(err, errors.PermissionDenied), "%v", err)
}

func TestAMembershipServesWhileTheDirectoryIsAwayAsLongAsIdentities(t *testing.T) {
	s := newSlapd(t)
	o := open(t, s.config())
	name, err := o.SignIn(t.Context(), "ann", "ann-for-development", "operators")
	require.NoError(t, err)
	s.stop()
	o.clock.Advance(o.config.CacheTime)
	require.NoError(t, o.CheckMember(t.Context(), name, "operators"), "what was found when she signed in serves")
	o.clock.Advance(o.config.AwayTime - o.config.CacheTime - time.Second)
	require.NoError(t, o.CheckMember(t.Context(), name, "operators"))
	o.clock.Advance(time.Second)
	err = o.CheckMember(t.Context(), name, "operators")
	require.True(t, errors.Is(err, errors.Unavailable), "its time is over, and nobody knows: %v", err)
	s.start()
	o.clock.Advance(retryAfter)
	require.NoError(t, o.CheckMember(t.Context(), name, "operators"))
}

func TestWhoBelongsToTooManyGroupsIsNoMemberAndTheDirectoryIsNotAway(t *testing.T) {
	s := newSlapd(t)
	o, admin := open(t, s.config()), s.admin()
	for i := range maxGroups + 1 {
		add(t, admin, fmt.Sprintf("cn=many-%d,ou=groups,%s", i, suffix), "objectClass", "groupOfNames", "member", annDN)
	}
	err := o.CheckMember(t.Context(), "ann", "operators")
	require.True(t, errors.Is(err, errors.PermissionDenied), "%v", err)
	require.Contains(t, o.log.String(), "more groups")
	require.EqualValues(t, 1, o.metric(t, "garage_ldap_up", ""))
}
