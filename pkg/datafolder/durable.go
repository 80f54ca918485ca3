package datafolder

import (
	"errors"
	"os"
	"path/filepath"
)

const temporarySuffix = ".tmp"

// WriteFile replaces the file at path so that after a crash it holds the old content or the new, and
// after return the new: a temporary file beside it is synced and renamed, then the folder is synced.
func WriteFile(path string, content []byte, mode os.FileMode) error {
	temporary := path + temporarySuffix
	if err := writeSynced(temporary, content, mode); err != nil {
		return errors.Join(err, removeIfThere(temporary))
	}
	if err := os.Rename(temporary, path); err != nil {
		return errors.Join(err, removeIfThere(temporary))
	}
	return syncFolder(filepath.Dir(path))
}

func writeSynced(path string, content []byte, mode os.FileMode) error {
	// The file of an interrupted write may have another mode, so it is made anew.
	if err := removeIfThere(path); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// MakeAll makes a folder and its parents, each durable before the next.
func MakeAll(path string) error {
	if info, err := os.Stat(path); err == nil {
		if !info.IsDir() {
			return errors.New(path + " is not a folder")
		}
		return nil
	} else if !os.IsNotExist(err) {
		return err
	}
	parent := filepath.Dir(path)
	if err := MakeAll(parent); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	return syncFolder(parent)
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
