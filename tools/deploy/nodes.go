package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// readNodes learns the separate processes from the file that their supervisor writes.
func (d *Deployment) readNodes() error {
	path := filepath.Join(d.Data, "nodes.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var file struct {
		Processes []struct {
			Name, Data, Admin, Log string
			PID                    int
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(file.Processes) == 0 {
		return fmt.Errorf("%s names no process", path)
	}
	d.processes = d.processes[:0]
	for _, f := range file.Processes {
		p := &Process{Name: f.Name, PID: f.PID, Data: f.Data, Admin: f.Admin, Log: f.Log}
		if err := p.remember(); err != nil {
			return err
		}
		d.processes = append(d.processes, p)
	}
	return nil
}
