package ldap

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	require.NoError(t, settings().Validate())
	none := Config{}
	require.NoError(t, none.Validate(), "without a server nothing is looked at")
	for name, change := range map[string]func(*Config){
		"no scheme":         func(c *Config) { c.URL = []string{"127.0.0.1:389"} },
		"other scheme":      func(c *Config) { c.URL = []string{"http://127.0.0.1"} },
		"a base in the URL": func(c *Config) { c.URL = []string{"ldap://127.0.0.1/dc=example"} },
		"a name in the URL": func(c *Config) { c.URL = []string{"ldap://cn=x@127.0.0.1"} },
		"in clear":          func(c *Config) { c.URL = []string{"ldap://192.0.2.1"} },
		"in clear, by name": func(c *Config) { c.URL = []string{"ldap://ldap.example.org"} },
		"one in clear":      func(c *Config) { c.URL = []string{"ldaps://192.0.2.1", "ldap://192.0.2.1"} },
		"no password":       func(c *Config) { c.BindDN = "cn=x" },
		"two passwords":     func(c *Config) { c.BindDN, c.BindPassword, c.BindPasswordFile = "cn=x", "a", "b" },
		"nobody's password": func(c *Config) { c.BindPassword = "a" },
		"no base":           func(c *Config) { c.People.Base = "" },
		"not a DN":          func(c *Config) { c.Groups.Base = "groups" },
		"not a filter":      func(c *Config) { c.People.Filter = "objectClass=*)(" },
		"half a filter":     func(c *Config) { c.Groups.Filter = "(&(a=b)" },
		"no filter":         func(c *Config) { c.Groups.Filter = "" },
		"attribute":         func(c *Config) { c.People.AccessKey = "a)(b" },
		"no name":           func(c *Config) { c.Groups.Name = "" },
		"no member":         func(c *Config) { c.Groups.Member = "" },
		"no memberOf":       func(c *Config) { c.Groups.Membership, c.People.MemberOf = byMemberOf, "" },
		"refused for long":  func(c *Config) { c.RefusedTime = 2 * c.CacheTime },
	} {
		c := settings()
		change(c)
		require.Error(t, c.Validate(), name)
	}
	for name, change := range map[string]func(*Config){
		"StartTLS":        func(c *Config) { c.URL, c.StartTLS = []string{"ldap://192.0.2.1"}, true },
		"ldaps":           func(c *Config) { c.URL = []string{"ldaps://ldap.example.org:1636"} },
		"insecure":        func(c *Config) { c.URL, c.Insecure = []string{"ldap://192.0.2.1"}, true },
		"localhost":       func(c *Config) { c.URL = []string{"ldap://localhost/"} },
		"IPv6":            func(c *Config) { c.URL = []string{"ldap://[::1]:1389"} },
		"no groups":       func(c *Config) { c.Groups.Base, c.Groups.Name, c.Groups.Member = "", "", "" },
		"without schema":  func(c *Config) { c.People.AccessKey, c.People.Secret = "garage_s3_access_key", "garage_s3_secret_key" },
		"nothing is kept": func(c *Config) { c.CacheTime = 0 },
	} {
		c := settings()
		change(c)
		require.NoError(t, c.Validate(), name)
	}
}

func TestThePasswordIsReadFromItsFileEachTime(t *testing.T) {
	c := settings()
	c.BindPasswordFile = filepath.Join(t.TempDir(), "password")
	_, err := c.password()
	require.Error(t, err)
	for _, text := range []string{"one\n", "two\r\n", "  three  "} {
		require.NoError(t, os.WriteFile(c.BindPasswordFile, []byte(text), 0o600))
		got, err := c.password()
		require.NoError(t, err)
		require.Equal(t, map[string]string{"one\n": "one", "two\r\n": "two", "  three  ": "  three  "}[text], got)
	}
	require.NoError(t, os.WriteFile(c.BindPasswordFile, []byte("\n"), 0o600))
	_, err = c.password()
	require.Error(t, err, "an empty password would be anonymous")
}
