package parts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"deuxfleurs.fr/garage/tools/install"
	"deuxfleurs.fr/garage/tools/stack/process"
)

// LDAP is slapd on 127.0.0.1, "ldap", with a configuration and, when it first starts, a tree, both LDIF.
type LDAP struct {
	// Config is the file with the configuration (cn=config), in which SCHEMADIR, GARAGEDIR (the folder of the file) and DATADIR are
	// put in place. Empty means nomad/ldap/slapd.ldif.
	Config string
	// Tree is the file with the entries. Empty means nomad/ldap/tree.ldif.
	Tree string
}

// portLDAP is before the offset.
const portLDAP = 3890

// Name is "ldap".
func (LDAP) Name() string { return "ldap" }

func (LDAP) needs() []string { return nil }

func (LDAP) install(ctx context.Context, _ *Stack, i install.Installer) (map[string]string, error) {
	const slapd = "/usr/sbin/slapd"
	return map[string]string{"slapd": slapd}, i.Debian(ctx, install.Package{Name: "slapd", File: slapd}, install.Package{Name: "ldap-utils", File: "/usr/bin/ldapsearch"})
}

func (l LDAP) start(ctx context.Context, s *Stack, programs map[string]string) (map[string]string, error) {
	if l.Config == "" {
		l.Config = filepath.Join(s.root, "nomad", "ldap", "slapd.ldif")
	}
	if l.Tree == "" {
		l.Tree = filepath.Join(s.root, "nomad", "ldap", "tree.ldif")
	}
	dir := filepath.Join(s.data, "ldap")
	config, err := l.render(filepath.Join(dir, "tree"))
	if err != nil {
		return nil, err
	}
	if err := l.load(ctx, s, dir, config); err != nil {
		return nil, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", portLDAP+s.offset)
	env := map[string]string{
		"GARAGE_STACK_LDAP": "ldap://" + address, "GARAGE_STACK_LDAP_BASE": attribute(config, "olcSuffix"),
		"GARAGE_STACK_LDAP_ADMIN_DN": attribute(config, "olcRootDN"), "GARAGE_STACK_LDAP_ADMIN_PASSWORD": attribute(config, "olcRootPW"),
	}
	return env, s.run(ctx, process.Spec{
		// With this level it stays in the foreground and says only what it says at every level.
		Name: "ldap", Args: []string{programs["slapd"], "-d", "32768", "-F", filepath.Join(dir, "config"), "-h", "ldap://" + address},
		Dir: dir, Log: filepath.Join(s.data, "logs", "ldap.log"), Grace: 10 * time.Second,
		Ready: process.Ready{Kind: "ldap", Address: address},
	})
}

func (l LDAP) render(tree string) (string, error) {
	text, err := os.ReadFile(l.Config)
	if err != nil {
		return "", err
	}
	folder, err := filepath.Abs(filepath.Dir(l.Config))
	if err != nil {
		return "", err
	}
	return strings.NewReplacer("SCHEMADIR", "/etc/ldap/schema", "GARAGEDIR", folder, "DATADIR", tree).Replace(string(text)), nil
}

// load makes slapd's own form of the configuration when that is new or has changed, and fills a tree that is empty.
func (l LDAP) load(ctx context.Context, s *Stack, dir, config string) error {
	source, made, tree := filepath.Join(dir, "slapd.ldif"), filepath.Join(dir, "config"), filepath.Join(dir, "tree")
	// The configuration names this folder, and slapd looks.
	if err := os.MkdirAll(tree, 0o700); err != nil {
		return err
	}
	old, err := os.ReadFile(source)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	_, missing := os.Stat(made)
	if string(old) != config || missing != nil {
		if err := s.configure("ldap", source, []byte(config)); err != nil {
			return err
		}
		if err := slapadd(ctx, made, "0", source); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(tree, "data.mdb")); err == nil {
		return nil
	}
	if err := slapadd(ctx, made, "1", l.Tree); err != nil {
		// Half a tree would pass for a whole one at the next start.
		return errors.Join(err, os.RemoveAll(filepath.Join(tree, "data.mdb")))
	}
	return nil
}

// slapadd loads a file into a database: 0 is the configuration, which is made anew.
func slapadd(ctx context.Context, config, database, file string) error {
	if database == "0" {
		if err := errors.Join(os.RemoveAll(config), os.MkdirAll(config, 0o700)); err != nil {
			return err
		}
	}
	out, err := exec.CommandContext(ctx, "/usr/sbin/slapadd", "-F", config, "-n", database, "-l", file).CombinedOutput()
	if err == nil {
		return nil
	}
	err = fmt.Errorf("load %s into slapd: %w\n%s", file, err, out)
	if database == "0" {
		err = errors.Join(err, os.RemoveAll(config))
	}
	return err
}

// attribute returns the first value of an attribute in LDIF.
func attribute(ldif, name string) string {
	for line := range strings.Lines(ldif) {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
