package ldap

import (
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"deuxfleurs.fr/garage/pkg/config"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/rpc"
)

// Config says where the directory is and what its entries look like.
type Config struct {
	URL              []string `conf:"url" help:"LDAP servers, as ldap://host:389 or ldaps://host:636, tried in this order; empty: no LDAP"`
	StartTLS         bool     `conf:"start-tls" help:"goes over to TLS on connections to ldap:// servers, and refuses to go on without"`
	CA               string   `conf:"ca" help:"PEM file of the authorities that LDAP servers are known by; by default those of the system"`
	Insecure         bool     `conf:"insecure" help:"speaks to LDAP servers beyond loopback without TLS, for links that are protected otherwise: secrets cross them"`
	BindDN           string   `conf:"bind-dn" help:"DN that the gateway binds as; empty: anonymous"`
	BindPassword     string   `conf:"bind-password" help:"password of bind-dn" secret:"true"`
	BindPasswordFile string   `conf:"bind-password-file" help:"file with the password of bind-dn, read at every connection"`

	People People `conf:"people"`
	Groups Groups `conf:"groups"`

	Timeout     time.Duration `conf:"timeout" help:"how long one lookup may take" min:"100ms" max:"1m"`
	Connections int           `conf:"connections" help:"connections to the LDAP server at the same time" min:"1" max:"100"`
	CacheTime   time.Duration `conf:"cache-time" help:"how long an identity is kept: revoking a key or a membership takes effect within it" min:"0s" max:"1m"`
	RefusedTime time.Duration `conf:"refused-time" help:"how long is kept that an access key does not exist" min:"0s" max:"1m"`
	AwayTime    time.Duration `conf:"away-time" help:"how long a kept identity serves while LDAP cannot be asked" min:"0s"`
}

// People says how the entries of people and machines look.
type People struct {
	Base          string `conf:"base" help:"DN below which people and machines are"`
	Filter        string `conf:"filter" help:"filter that they match besides"`
	AccessKey     string `conf:"access-key" help:"attribute of the access key"`
	Secret        string `conf:"secret" help:"attribute of the secret key, in clear"`
	Name          string `conf:"name" help:"attribute of the name that rights are granted to; must be unique among people and machines"`
	CreateBuckets string `conf:"create-buckets" help:"attribute that is TRUE for who may create buckets; empty: none"`
	MemberOf      string `conf:"member-of" help:"attribute that lists the DNs of an entry's groups, with groups.membership member-of"`
}

// Groups says how the entries of groups look.
type Groups struct {
	Base          string `conf:"base" help:"DN below which groups are; empty: no groups"`
	Filter        string `conf:"filter" help:"filter that they match besides"`
	Name          string `conf:"name" help:"attribute of the name that rights are granted to; must be unique among groups"`
	Membership    string `conf:"membership" help:"how members are known: the group lists their DNs (dn) or their names (name), or each member lists its groups (member-of)" allowed:"dn,name,member-of"`
	Member        string `conf:"member" help:"attribute that lists the members, with groups.membership dn or name"`
	Rights        string `conf:"rights" help:"attribute of rights on buckets, as photos:read,write or *:all; empty: none"`
	Read          string `conf:"read" help:"attribute that lists buckets to read, by name or *; empty: none"`
	Write         string `conf:"write" help:"attribute that lists buckets to write to, by name or *; empty: none"`
	Owner         string `conf:"owner" help:"attribute that lists buckets to own, by name or *; empty: none"`
	CreateBuckets string `conf:"create-buckets" help:"attribute that is TRUE for groups whose members may create buckets; empty: none"`
}

// The ways that members are known.
const (
	byDN       = "dn"
	byName     = "name"
	byMemberOf = "member-of"
)

// DefaultConfig fits the example schema in nomad/ldap, without a server.
func DefaultConfig() Config {
	return Config{
		People: People{
			Filter: "(objectClass=garageKey)", AccessKey: "garageAccessKey", Secret: "garageSecretKey", Name: "uid",
			CreateBuckets: "garageCreateBuckets", MemberOf: "memberOf",
		},
		Groups: Groups{
			Filter: "(objectClass=*)", Name: "cn", Membership: byDN, Member: "member",
			Rights: "garageBucketRights", CreateBuckets: "garageCreateBuckets",
		},
		Timeout: 3 * time.Second, Connections: 4,
		CacheTime: 2 * time.Second, RefusedTime: 500 * time.Millisecond, AwayTime: time.Hour,
	}
}

// Enabled tells whether there is a directory.
func (c *Config) Enabled() bool { return len(c.URL) > 0 }

// attributeName is what may name an attribute: the descriptors of RFC 4512, and the underscores that
// directories without a schema allow. Nothing in it means anything in a filter.
var attributeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._;-]*$`)

// Validate refuses what cannot work. Without a server nothing is looked at.
func (c *Config) Validate() error {
	if !c.Enabled() {
		return nil
	}
	for _, u := range c.URL {
		if err := c.checkURL(u); err != nil {
			return err
		}
	}
	switch {
	case c.BindPassword != "" && c.BindPasswordFile != "":
		return config.Invalid("bind-password-file", "and bind-password cannot both be set")
	case c.BindDN != "" && c.BindPassword == "" && c.BindPasswordFile == "":
		return config.Invalid("bind-password", "or bind-password-file must be set, since there is a bind-dn")
	case c.BindDN == "" && (c.BindPassword != "" || c.BindPasswordFile != ""):
		return config.Invalid("bind-dn", "must be set, since there is a password")
	case c.RefusedTime > c.CacheTime && c.CacheTime > 0:
		return config.Invalid("refused-time", "must not be longer than cache-time")
	case c.People.Base == "":
		return config.Invalid("people.base", "must be set")
	}
	for _, dn := range []struct{ setting, value string }{
		{"bind-dn", c.BindDN}, {"people.base", c.People.Base}, {"groups.base", c.Groups.Base},
	} {
		if _, err := ldap.ParseDN(dn.value); err != nil {
			return config.Invalid(dn.setting, "must be a DN such as ou=people,dc=example,dc=org: %v", err)
		}
	}
	for _, f := range []struct{ setting, value string }{{"people.filter", c.People.Filter}, {"groups.filter", c.Groups.Filter}} {
		if _, err := ldap.CompileFilter(f.value); err != nil {
			return config.Invalid(f.setting, "must be a filter such as (objectClass=person): %v", err)
		}
	}
	return c.checkAttributes()
}

func (c *Config) checkAttributes() error {
	needed := []struct{ setting, value string }{
		{"people.access-key", c.People.AccessKey}, {"people.secret", c.People.Secret}, {"people.name", c.People.Name},
	}
	optional := []struct{ setting, value string }{
		{"people.create-buckets", c.People.CreateBuckets}, {"groups.create-buckets", c.Groups.CreateBuckets},
		{"groups.rights", c.Groups.Rights}, {"groups.read", c.Groups.Read}, {"groups.write", c.Groups.Write}, {"groups.owner", c.Groups.Owner},
	}
	if c.Groups.Base != "" {
		needed = append(needed, struct{ setting, value string }{"groups.name", c.Groups.Name})
		if c.Groups.Membership == byMemberOf {
			needed = append(needed, struct{ setting, value string }{"people.member-of", c.People.MemberOf})
		} else {
			needed = append(needed, struct{ setting, value string }{"groups.member", c.Groups.Member})
		}
	}
	for _, a := range needed {
		if !attributeName.MatchString(a.value) {
			return config.Invalid(a.setting, "must be the name of an attribute")
		}
	}
	for _, a := range optional {
		if a.value != "" && !attributeName.MatchString(a.value) {
			return config.Invalid(a.setting, "must be the name of an attribute, or empty")
		}
	}
	return nil
}

func (c *Config) checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "ldap" && u.Scheme != "ldaps" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return config.Invalid("url", "must be ldap://host:port or ldaps://host:port")
	}
	if u.Scheme == "ldap" && !c.StartTLS && !c.Insecure && !rpc.IsLoopback(address(u)) {
		return config.Invalid("url", "%s is beyond this machine and without TLS, so that secrets could be read on the way: "+
			"use ldaps://, or set start-tls, or insecure if the link is protected otherwise", text)
	}
	return nil
}

// address is host:port of a URL, with the usual port where it has none.
func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"ldap": "389", "ldaps": "636"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// password is that of BindDN as it is now. A newline at the end of the file does not belong to it.
func (c *Config) password() (string, error) {
	if c.BindPasswordFile == "" {
		return c.BindPassword, nil
	}
	p, err := os.ReadFile(c.BindPasswordFile)
	if err != nil {
		return "", errors.Wrap(errors.Invalid, err, "reading the password of the LDAP bind DN (setting bind-password-file)")
	}
	text := strings.TrimRight(string(p), "\r\n")
	if text == "" {
		return "", errors.E(errors.Invalid, errors.Setting, "bind-password-file", "%s is empty", c.BindPasswordFile)
	}
	return text, nil
}
