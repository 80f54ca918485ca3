package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"strings"
	"time"
)

// archive writes the programs as a tar.gz with one folder of the archive's name, as Nomad fetches it.
func (r release) archive(p platform) error {
	folder := r.name("-" + p.name)
	return r.write(folder+".tar.gz", func(w io.Writer) error {
		zip := gzip.NewWriter(w)
		t := tree{tar.NewWriter(zip), r.date}
		if err := t.folder(folder, 0o755, 0); err != nil {
			return err
		}
		for _, name := range programNames {
			if err := t.file(folder+"/"+name, r.program(p, name), 0o755); err != nil {
				return err
			}
		}
		for _, d := range append(r.documents(p), document{"LICENSE", r.licence()}) {
			if err := t.file(folder+"/"+d.name, d.path, 0o644); err != nil {
				return err
			}
		}
		return errors.Join(t.Close(), zip.Close())
	})
}

// tree is a tar of files that belong to root and are all of one time.
type tree struct {
	*tar.Writer
	date time.Time
}

// folder adds a folder, which belongs to the user and the group of that number.
func (t tree) folder(name string, mode int64, owner int) error {
	return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimSuffix(name, "/") + "/", Mode: mode, Uid: owner, Gid: owner, ModTime: t.date})
}

func (t tree) file(name, from string, mode int64) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	about, err := f.Stat()
	if err != nil {
		return err
	}
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: about.Size(), ModTime: t.date}); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return err
}
