package consul

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"deuxfleurs.fr/garage/pkg/datafolder"
)

// InstancesFile is where a data folder keeps the last instances of the services that the program watches.
const InstancesFile = "consul-instances.json"

// KeepIn has what Consul says about services kept in the file at path, for a program that starts while Consul is away.
// Call it before the first Watch.
func (c *Client) KeepIn(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = path
}

// keep writes the views. That it could not costs nothing before the next start.
func (c *Client) keep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == "" {
		return
	}
	views, err := c.views()
	if err != nil {
		views = map[string][]Instance{} // what cannot be read is of no use
	}
	for service, w := range c.watches {
		if v := w.View(); v.Known && len(v.Instances) > 0 {
			views[service] = v.Instances
		}
	}
	content, err := json.Marshal(views)
	if err == nil {
		err = datafolder.WriteFile(c.kept, content, 0o600)
	}
	if err != nil {
		c.log.Warn("the instances of services were not kept for a Consul that is away", "file", c.kept, "error", err)
	}
}

// views are those in the file.
func (c *Client) views() (map[string][]Instance, error) {
	views := map[string][]Instance{}
	content, err := os.ReadFile(c.kept)
	if errors.Is(err, fs.ErrNotExist) {
		return views, nil
	}
	if err != nil {
		return nil, err
	}
	return views, json.Unmarshal(content, &views)
}

// recall gives a watch that has not heard from Consul yet the instances kept from before.
func (c *Client) recall(service string, w *Watch) {
	c.mu.Lock()
	path := c.kept
	c.mu.Unlock()
	if path == "" {
		return
	}
	views, err := c.views()
	if err != nil {
		c.log.Warn("the instances of services kept from before cannot be read", "file", path, "error", err)
		return
	}
	if list := views[service]; len(list) > 0 && w.set(list) {
		c.log.Warn("Consul does not answer: the instances kept from before serve until it does", "of", service, "instances", len(list))
	}
}
