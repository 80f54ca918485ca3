//go:build stack

package ldap

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
)

func TestWhoIsInTheDirectoryIsFound(t *testing.T) {
	s := newSlapd(t)
	o := open(t, s.config())
	require.NoError(t, o.Check(t.Context()))

	ann, err := o.Find(t.Context(), annKey)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"person:ann", "group:operators", "group:photographers"}, ann.Principals)
	require.Equal(t, "person:ann", ann.ID())
	require.Equal(t, identity.Identity{
		AccessKey: annKey, Secret: "secret-of-ann-for-development-only-00001", Name: "ann", CreateBuckets: true,
		Principals: ann.Principals, Buckets: map[string]identity.Rights{"photos": identity.Read | identity.Write},
	}, ann)

	ben, err := o.Find(t.Context(), benKey)
	require.NoError(t, err)
	require.Equal(t, []string{"person:ben", "group:photographers"}, ben.Principals)
	require.False(t, ben.CreateBuckets)

	machine, err := o.Find(t.Context(), "GKBACKUP0000000000003")
	require.NoError(t, err)
	require.Equal(t, "person:backup-server", machine.ID())
	require.Equal(t, map[string]identity.Rights{"*": identity.Read, "backups": identity.Read | identity.Write}, machine.Buckets)
	require.EqualValues(t, 1, o.metric(t, "garage_ldap_up", ""))
}

func TestWhatIsNoAccessKeyFindsNobody(t *testing.T) {
	s := newSlapd(t)
	o := open(t, s.config())
	for _, accessKey := range []string{
		"", "GKNOBODY", "gkann0000000000000001", "GKANN*", "*", "GKANN0000000000000001)(uid=ann", "*)(garageSecretKey=*", `\2a`, "\\",
		"person:ann", "group:operators", "GKANN0000000000000001 ", "GKANN0000000000000001\x00",
	} {
		_, err := o.Find(t.Context(), accessKey)
		require.True(t, errors.IsEntity(err, errors.NotFound, errors.AccessKey), "%q: %v", accessKey, err)
	}
	require.Empty(t, o.log.String())
}

func TestARevocationTakesEffectWithinTheCacheTime(t *testing.T) {
	s := newSlapd(t)
	o, admin := open(t, s.config()), s.admin()
	ben, err := o.Find(t.Context(), benKey)
	require.NoError(t, err)
	require.NotZero(t, ben.BucketRights("photos"))

	modify(t, admin, photosDN, func(r *ldap.ModifyRequest) { r.Delete("member", []string{benDN}) })
	o.clock.Advance(o.config.CacheTime - 1)
	ben, err = o.Find(t.Context(), benKey)
	require.NoError(t, err)
	require.NotZero(t, ben.BucketRights("photos"), "kept")
	o.clock.Advance(1)
	ben, err = o.Find(t.Context(), benKey)
	require.NoError(t, err)
	require.Zero(t, ben.BucketRights("photos"))
	require.Equal(t, []string{"person:ben"}, ben.Principals)

	modify(t, admin, benDN, func(r *ldap.ModifyRequest) { r.Replace("garageAccessKey", []string{"GKBENNEW"}) })
	o.clock.Advance(o.config.CacheTime)
	_, err = o.Find(t.Context(), benKey)
	require.True(t, errors.Is(err, errors.NotFound), "%v", err)
	ben, err = o.Find(t.Context(), "GKBENNEW")
	require.NoError(t, err)
	require.Equal(t, "person:ben", ben.ID(), "a new access key is the same person")

	require.NoError(t, admin.Del(ldap.NewDelRequest(benDN, nil)))
	o.clock.Advance(o.config.CacheTime)
	_, err = o.Find(t.Context(), "GKBENNEW")
	require.True(t, errors.Is(err, errors.NotFound), "%v", err)
}

// One entry that is not right must not have everybody served from memory.
func TestWhoBelongsToTooManyGroupsIsNobodyAndTheDirectoryIsNotAway(t *testing.T) {
	s := newSlapd(t)
	o, admin := open(t, s.config()), s.admin()
	for i := range maxGroups + 1 {
		r := ldap.NewAddRequest(fmt.Sprintf("cn=many-%d,ou=groups,%s", i, suffix), nil)
		r.Attribute("objectClass", []string{"groupOfNames"})
		r.Attribute("member", []string{benDN})
		require.NoError(t, admin.Add(r))
	}
	_, err := o.Find(t.Context(), benKey)
	require.True(t, errors.IsEntity(err, errors.NotFound, errors.AccessKey), "%v", err)
	require.Contains(t, o.log.String(), "more groups")
	require.EqualValues(t, 1, o.metric(t, "garage_ldap_up", ""))
	_, err = o.Find(t.Context(), annKey)
	require.NoError(t, err)
}

func TestANewKeyIsKnownWithinTheShorterTime(t *testing.T) {
	s := newSlapd(t)
	o, admin := open(t, s.config()), s.admin()
	_, err := o.Find(t.Context(), "GKCLEO")
	require.True(t, errors.Is(err, errors.NotFound))
	add(t, admin, "uid=cleo,ou=people,"+suffix, "objectClass", "inetOrgPerson", "objectClass", "garageKey", "uid", "cleo", "cn", "Cleo", "sn", "C",
		"garageAccessKey", "GKCLEO", "garageSecretKey", "secret-of-cleo")
	_, err = o.Find(t.Context(), "GKCLEO")
	require.True(t, errors.Is(err, errors.NotFound), "kept")
	o.clock.Advance(o.config.RefusedTime)
	cleo, err := o.Find(t.Context(), "GKCLEO")
	require.NoError(t, err)
	require.Equal(t, []string{"person:cleo"}, cleo.Principals)
}

func TestWhileTheDirectoryIsStoppedKeptIdentitiesServe(t *testing.T) {
	s := newSlapd(t)
	o := open(t, s.config())
	_, err := o.Find(t.Context(), annKey)
	require.NoError(t, err)
	s.stop()

	o.clock.Advance(time.Minute)
	ann, err := o.Find(t.Context(), annKey)
	require.NoError(t, err)
	require.True(t, ann.CreateBuckets)
	_, err = o.Find(t.Context(), benKey)
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	o.clock.Advance(retryAfter)
	_, err = o.Find(t.Context(), benKey)
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	require.Error(t, o.Check(t.Context()))
	require.Zero(t, o.metric(t, "garage_ldap_up", ""))
	require.Positive(t, o.metric(t, "garage_ldap_served_while_away_total", ""))
	require.Contains(t, o.log.String(), "LDAP cannot be asked")

	o.clock.Advance(o.config.AwayTime)
	_, err = o.Find(t.Context(), annKey)
	require.True(t, errors.Is(err, errors.Unavailable), "its time is over: %v", err)

	s.start()
	o.clock.Advance(retryAfter)
	_, err = o.Find(t.Context(), benKey)
	require.NoError(t, err)
	_, err = o.Find(t.Context(), annKey)
	require.NoError(t, err)
	require.EqualValues(t, 1, o.metric(t, "garage_ldap_up", ""))
	require.Contains(t, o.log.String(), "LDAP can be asked again")
}

func TestARestartCostsNoLookup(t *testing.T) {
	s := newSlapd(t)
	o := open(t, s.config())
	_, err := o.Find(t.Context(), annKey)
	require.NoError(t, err)
	s.stop()
	s.start()
	_, err = o.Find(t.Context(), benKey)
	require.NoError(t, err, "the connection that was cut is made again")

	require.NotEmpty(t, o.pool.idle)
	for _, c := range o.pool.idle { // cut, and nobody noticed yet
		require.NoError(t, c.raw.SetWriteDeadline(time.Unix(1, 0)))
	}
	o.clock.Advance(o.config.CacheTime)
	ben, err := o.Find(t.Context(), benKey)
	require.NoError(t, err)
	require.Equal(t, benKey, ben.AccessKey)
	require.EqualValues(t, 3, o.metric(t, "garage_ldap_lookups_total", found))
}

func TestAServerThatHangsIsGivenUp(t *testing.T) {
	s := newSlapd(t)
	c := s.config()
	c.Timeout = 300 * time.Millisecond
	o := open(t, c)
	_, err := o.Find(t.Context(), annKey)
	require.NoError(t, err)
	s.freeze()
	o.clock.Advance(time.Minute)
	_, err = o.Find(t.Context(), benKey)
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	_, err = o.Find(t.Context(), annKey)
	require.NoError(t, err)
	s.signal(syscall.SIGCONT)
	o.clock.Advance(retryAfter)
	_, err = o.Find(t.Context(), benKey)
	require.NoError(t, err)
}

func TestAFloodIsToldToSlowDown(t *testing.T) {
	s := newSlapd(t)
	c := s.config()
	c.Timeout = 30 * time.Second
	o := open(t, c)
	_, err := o.Find(t.Context(), annKey)
	require.NoError(t, err)
	s.freeze()
	o.clock.Advance(time.Minute)
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for i := range c.Connections + maxWaiting {
		group.Go(func() { _, _ = o.Find(ctx, fmt.Sprint("GKFLOOD", i)) })
	}
	require.Eventually(t, func() bool { return len(o.pool.queue) == cap(o.pool.queue) }, 20*time.Second, time.Millisecond)
	_, err = o.Find(t.Context(), annKey)
	require.True(t, errors.Is(err, errors.Overloaded), "%v", err)
	require.EqualValues(t, 1, o.metric(t, "garage_ldap_lookups_total", turned))
	cancel()
	group.Wait()
	s.signal(syscall.SIGCONT)
	require.Eventually(t, func() bool { return len(o.pool.queue) == 0 }, 20*time.Second, time.Millisecond)
	_, err = o.Find(t.Context(), annKey)
	require.NoError(t, err)
}

func TestARequestThatEndsWaitsNoLonger(t *testing.T) {
	s := newSlapd(t)
	c := s.config()
	c.Timeout = 30 * time.Second
	o := open(t, c)
	s.freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := o.Find(ctx, annKey)
	require.True(t, errors.Is(err, errors.Deadline), "%v", err)
	began := time.Now()
	require.NoError(t, o.Close())
	require.Less(t, time.Since(began), c.Timeout/2, "what is under way ends with the source")
	_, err = o.Find(t.Context(), benKey)
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
}

func TestTLSIsOnlyWithWhomTheAuthorityKnows(t *testing.T) {
	s := newSlapd(t)
	other := (&slapd{t: t, folder: t.TempDir()}).certify("127.0.0.1")
	for name, change := range map[string]func(*Config){
		"StartTLS": func(c *Config) { c.StartTLS = true },
		"ldaps":    func(c *Config) { c.URL = []string{"ldaps://" + s.secure} },
	} {
		c := s.config()
		change(&c)
		c.CA = s.ca
		o := open(t, c)
		_, err := o.Find(t.Context(), annKey)
		require.NoError(t, err, name)

		for what, wrong := range map[string]func(*Config){
			"another authority":        func(c *Config) { c.CA = other },
			"the system's authorities": func(c *Config) { c.CA = "" },
			"a name that it does not have": func(c *Config) {
				c.URL[0] = "ldap" + c.URL[0][4:]
				c.URL = []string{replaceHost(c.URL[0], "localhost")}
			},
		} {
			c := s.config()
			change(&c)
			c.CA = s.ca
			wrong(&c)
			o := open(t, c)
			_, err := o.Find(t.Context(), annKey)
			require.True(t, errors.Is(err, errors.Unavailable), "%s, %s: %v", name, what, err)
			require.ErrorContains(t, err, "certificate", "%s, %s", name, what)
		}
	}
}

func TestAServerWithoutTLSIsNotTrustedWhenItIsAskedFor(t *testing.T) {
	s := newSlapd(t)
	s.stop()
	require.NoError(t, removeTLS(s))
	s.start()
	c := s.config()
	c.StartTLS, c.CA = true, s.ca
	o := open(t, c)
	_, err := o.Find(t.Context(), annKey)
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
}

func TestTheGatewayMustKnowItsPassword(t *testing.T) {
	s := newSlapd(t)
	c := s.config()
	c.BindPassword = "wrong"
	o := open(t, c)
	_, err := o.Find(t.Context(), annKey)
	require.True(t, errors.Is(err, errors.Unavailable), "%v", err)
	require.Error(t, o.Check(t.Context()))
}

func TestOnlyTheGatewayReadsSecrets(t *testing.T) {
	s := newSlapd(t)
	c := s.config()
	c.BindDN, c.BindPassword = benDN, "ben-for-development"
	o := open(t, c)
	for range 3 {
		_, err := o.Find(t.Context(), annKey)
		require.True(t, errors.Is(err, errors.NotFound), "%v", err)
		o.clock.Advance(time.Minute)
	}
	require.Equal(t, 1, countLines(o.log.String(), annDN), "said once: %s", o.log)
	c.BindDN, c.BindPassword = "", ""
	o = open(t, c)
	_, err := o.Find(t.Context(), annKey)
	require.Error(t, err, "anonymous sees nothing")
}

func TestTheSecondServerIsAskedWhenTheFirstIsAway(t *testing.T) {
	s := newSlapd(t)
	c := s.config()
	c.URL = []string{"ldap://" + freeAddress(t), "ldap://" + s.address}
	_, err := open(t, c).Find(t.Context(), annKey)
	require.NoError(t, err)
}

func TestManyLookupsShareConnections(t *testing.T) {
	s := newSlapd(t)
	admin := s.admin()
	for i := range 50 {
		add(t, admin, fmt.Sprintf("uid=p%d,ou=people,%s", i, suffix), "objectClass", "inetOrgPerson", "objectClass", "garageKey",
			"uid", fmt.Sprint("p", i), "cn", "P", "sn", "P", "garageAccessKey", fmt.Sprint("GKP", i), "garageSecretKey", fmt.Sprint("secret-of-p", i))
	}
	counted := countConnections(t, s.address)
	c := s.config()
	c.URL = []string{"ldap://" + counted.Addr().String()}
	o := open(t, c)

	all := func(key func(int) string) {
		var group sync.WaitGroup
		for i := range 200 {
			group.Go(func() {
				id, err := o.Find(t.Context(), key(i))
				if err != nil || id.AccessKey != key(i) {
					t.Errorf("%s: %v %v", key(i), id.Name, err)
				}
			})
		}
		group.Wait()
	}
	all(func(i int) string { return fmt.Sprint("GKP", i%50) })
	require.LessOrEqual(t, counted.count(), c.Connections)
	require.EqualValues(t, 50, o.metric(t, "garage_ldap_lookups_total", found), "each key was looked up once")
	o.clock.Advance(time.Second)
	all(func(int) string { return annKey })
	require.EqualValues(t, 51, o.metric(t, "garage_ldap_lookups_total", found))
	require.LessOrEqual(t, counted.count(), c.Connections)

	o.clock.Advance(2 * maxIdle)
	before := counted.count()
	_, err := o.Find(t.Context(), benKey)
	require.NoError(t, err)
	require.Equal(t, before+1, counted.count(), "connections that were idle for long are not trusted")
}
