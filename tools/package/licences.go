package main

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"unicode"
)

// noticesName is the file with the licences of what is in the programs, in every package.
const noticesName = "THIRD-PARTY-LICENCES.txt"

const noticesHead = `The programs of Garage are under the licence Apache-2.0. They have in them the modules of others
that are listed here, each under the licences named beside it, whose texts and notices follow.
The source of a module is to be had with: go mod download MODULE@VERSION
(that of "std", which is Go itself, at https://go.dev/dl).

`

// module is one that is linked into a program, and what it says about its licence.
type module struct {
	path, version string
	ids           []string // of SPDX
	texts         []text
}

type text struct{ name, content string }

// linked are the modules of others in the programs of a platform, with Go itself, in the order of their paths.
func (r release) linked(p platform) ([]module, error) {
	all := map[string]module{}
	for _, name := range programNames {
		info, err := buildinfo.ReadFile(r.program(p, name))
		if err != nil {
			return nil, err
		}
		for _, m := range info.Deps {
			if m = built(m); !ours(m) {
				all[m.Path+"@"+m.Version] = module{path: m.Path, version: m.Version}
			}
		}
		all["std"] = module{path: "std", version: strings.TrimPrefix(info.GoVersion, "go")}
	}
	var list []module
	for _, m := range all {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b module) int { return strings.Compare(a.path+"@"+a.version, b.path+"@"+b.version) })
	for i := range list {
		if err := list[i].read(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// built is what a program has of a module: what replaces it, unless that is a folder.
func built(m *debug.Module) *debug.Module {
	if m.Replace != nil && !strings.HasPrefix(m.Replace.Path, ".") {
		return m.Replace
	}
	return m
}

func ours(m *debug.Module) bool { return strings.HasPrefix(m.Path, "deuxfleurs.fr/garage/") }

// notices is the content of the file for programs with these modules.
func notices(modules []module) string {
	var all strings.Builder
	all.WriteString(noticesHead)
	of := map[string][]string{} // which files have a text
	var order []string
	for _, m := range modules {
		fmt.Fprintf(&all, "%s %s: %s\n", m.path, m.version, strings.Join(m.ids, " AND "))
		for _, t := range m.texts {
			if of[t.content] == nil {
				order = append(order, t.content)
			}
			of[t.content] = append(of[t.content], m.path+" "+m.version+": "+t.name)
		}
	}
	line := strings.Repeat("=", 80)
	for _, content := range order {
		fmt.Fprintf(&all, "\n%s\n%s\n%s\n\n%s\n", line, strings.Join(of[content], "\n"), line, content)
	}
	return all.String()
}

// writeNotices puts the file with the licences beside the programs of each platform, and returns the licences of each module@version.
func (r release) writeNotices() (map[string][]string, error) {
	licences := map[string][]string{}
	for _, p := range r.platforms {
		modules, err := r.linked(p)
		if err != nil {
			return nil, err
		}
		for _, m := range modules {
			licences[m.path+"@"+m.version] = m.ids
		}
		if err := os.WriteFile(r.program(p, noticesName), []byte(notices(modules)), 0o644); err != nil {
			return nil, err
		}
	}
	return licences, nil
}

var noticeFile = regexp.MustCompile(`(?i)^(licen[sc]e|copying|notice|patents)([.-](txt|md|golang))?$`)

// read finds the texts of a module, and which licences they are.
func (m *module) read() error {
	dir, err := m.folder()
	if err != nil {
		return err
	}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != dir && (m.path == "std" || entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case entry.IsDir() || !noticeFile.MatchString(entry.Name()):
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		m.texts = append(m.texts, text{filepath.ToSlash(name), strings.TrimSpace(strings.ReplaceAll(string(content), "\r\n", "\n"))})
		m.ids = append(m.ids, licencesIn(string(content))...)
		return nil
	})
	if err != nil {
		return fmt.Errorf("the licence of %s %s: %w", m.path, m.version, err)
	}
	slices.Sort(m.ids)
	if m.ids = slices.Compact(m.ids); len(m.ids) == 0 {
		return fmt.Errorf("no licence that is known was found in %s: see whether its terms let Garage have %s in it, and tell licencesIn about it", dir, m.path)
	}
	return nil
}

// folder is where the module's source is, of which the programs were built.
func (m *module) folder() (string, error) {
	variable := "GOMODCACHE"
	if m.path == "std" {
		variable = "GOROOT"
	}
	out, err := exec.Command("go", "env", variable).Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		return "", errors.Join(fmt.Errorf("go env %s says nothing", variable), err)
	}
	if m.path == "std" {
		return dir, nil
	}
	return filepath.Join(dir, escaped(m.path)+"@"+escaped(m.version)), nil
}

// escaped is a path as the cache of modules has it, for file systems that do not tell capitals apart.
func escaped(path string) string {
	var b strings.Builder
	for _, c := range path {
		if unicode.IsUpper(c) {
			b.WriteByte('!')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

var space = regexp.MustCompile(`[\s*#/]+`)

// licencesIn are the licences of which a text has the terms, by their names in SPDX.
func licencesIn(text string) (ids []string) {
	text = strings.ToLower(space.ReplaceAllString(text, " "))
	has := func(parts ...string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
	}
	if has("apache license", "version 2.0", "terms and conditions for use, reproduction, and distribution") || has("licensed under the apache license, version 2.0") {
		ids = append(ids, "Apache-2.0")
	}
	if has("mozilla public license", "2.0", "covered software") {
		ids = append(ids, "MPL-2.0")
	}
	if has("permission is hereby granted, free of charge, to any person obtaining a copy") {
		ids = append(ids, "MIT")
	}
	if has("permission to use, copy, modify, and", "distribute this software for any purpose with or without fee is hereby granted") {
		ids = append(ids, "ISC")
	}
	switch {
	case !has("redistribution and use in source and binary forms"):
	case has("all advertising materials"):
		ids = append(ids, "BSD-4-Clause")
	case has("endorse or promote products"):
		ids = append(ids, "BSD-3-Clause")
	default:
		ids = append(ids, "BSD-2-Clause")
	}
	return ids
}
