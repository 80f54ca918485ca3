package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// person is somebody in the LDAP tree.
type person struct{ accessKey, secret string }

// What the gateways are in the development tree.
const (
	gatewayDN       = "cn=s3-gateway,ou=services,dc=garage,dc=example"
	gatewayPassword = "gateway-for-development"
)

// operator is the person of the development tree who may create buckets.
const operator = "uid=ann,ou=people,dc=garage,dc=example"

func (c *Cluster) ldapFile(name string) string { return filepath.Join(c.root, "nomad", "ldap", name) }

// person reads the operator's key from the tree that is loaded into LDAP.
func (c *Cluster) person() (person, error) {
	path := c.ldapFile("tree.ldif")
	text, err := os.ReadFile(path)
	if err != nil {
		return person{}, err
	}
	var p person
	for entry := range strings.SplitSeq(string(text), "\n\n") {
		if !strings.Contains(entry, "dn: "+operator+"\n") {
			continue
		}
		for line := range strings.Lines(entry) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			switch name {
			case "garageAccessKey":
				p.accessKey = value
			case "garageSecretKey":
				p.secret = value
			}
		}
	}
	if p.accessKey == "" || p.secret == "" {
		return p, fmt.Errorf("%s has no key of %s", path, operator)
	}
	return p, nil
}
