package layout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/errors"
)

// DefaultReplication is the number of copies of a first layout when nobody says otherwise.
const DefaultReplication = 3

// Change is what an operator wants to be different in the next layout. Its zero value changes nothing. A Change
// is not modified once made: its methods return another one.
type Change struct {
	Replication int            // copies of a chunk; 0: as before
	Assign      []Node         // nodes that are added or replaced, sorted by ID
	Remove      []chunk.NodeID // nodes that are taken out, sorted; none of them is in Assign
}

// Empty reports whether it changes nothing.
func (c Change) Empty() bool { return c.Replication == 0 && len(c.Assign) == 0 && len(c.Remove) == 0 }

// WithNode also adds or replaces a node. Kinds: Invalid, with what is wrong with the node.
func (c Change) WithNode(n Node) (Change, error) {
	if err := validateNode("node "+n.ID.String(), n); err != nil {
		return Change{}, err
	}
	c = c.forget(n.ID)
	at, _ := slices.BinarySearchFunc(c.Assign, n, func(a, b Node) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	c.Assign = slices.Insert(c.Assign, at, n)
	return c, nil
}

// WithoutNode also takes a node out. One that is not in the current layout is merely no longer assigned.
func (c Change) WithoutNode(id chunk.NodeID, current Layout) Change {
	c = c.forget(id)
	if current.Index(id) >= 0 {
		at, _ := slices.BinarySearchFunc(c.Remove, id, func(a, b chunk.NodeID) int { return bytes.Compare(a[:], b[:]) })
		c.Remove = slices.Insert(c.Remove, at, id)
	}
	return c
}

// WithReplication also sets the number of copies. Kinds: Invalid.
func (c Change) WithReplication(copies int, current Layout) (Change, error) {
	if copies < 1 || copies > MaxReplication {
		return Change{}, invalid("replication", "must be 1 to %d, not %d", MaxReplication, copies)
	}
	if c.Replication = copies; copies == current.Replication {
		c.Replication = 0
	}
	return c, nil
}

// forget copies c without what it says about a node.
func (c Change) forget(id chunk.NodeID) Change {
	c.Assign = slices.DeleteFunc(slices.Clone(c.Assign), func(n Node) bool { return n.ID == id })
	c.Remove = slices.DeleteFunc(slices.Clone(c.Remove), func(n chunk.NodeID) bool { return n == id })
	return c
}

// Apply makes the layout that follows current, which is the zero Layout when there is none yet. Kinds: Invalid,
// when the result cannot be a layout, with what is missing.
func (c Change) Apply(current Layout) (Layout, error) {
	var nodes []Node
	for _, n := range current.Nodes {
		replaced := slices.ContainsFunc(c.Assign, func(a Node) bool { return a.ID == n.ID })
		if !replaced && !slices.Contains(c.Remove, n.ID) {
			nodes = append(nodes, n)
		}
	}
	copies := current.Replication
	if copies == 0 {
		copies = DefaultReplication
	}
	if c.Replication != 0 {
		copies = c.Replication
	}
	return New(current.Number+1, copies, append(nodes, c.Assign...))
}

type fileChange struct {
	Replication int        `json:"replication,omitempty"`
	Assign      []fileNode `json:"assign,omitempty"`
	Remove      []string   `json:"remove,omitempty"`
}

// MarshalJSON writes the change with its nodes as a layout file has them.
func (c Change) MarshalJSON() ([]byte, error) {
	file := fileChange{Replication: c.Replication}
	for _, n := range c.Assign {
		file.Assign = append(file.Assign, n.file())
	}
	for _, id := range c.Remove {
		file.Remove = append(file.Remove, id.String())
	}
	return json.Marshal(file)
}

// UnmarshalJSON reads what MarshalJSON wrote, or an operator by hand. Kinds: Invalid.
func (c *Change) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var file fileChange
	if err := d.Decode(&file); err != nil {
		return errors.Wrap(errors.Invalid, err, "not a change of a layout in JSON")
	}
	if file.Replication < 0 || file.Replication > MaxReplication {
		return invalid("replication", "must be 1 to %d, not %d", MaxReplication, file.Replication)
	}
	changed := Change{Replication: file.Replication}
	for i, n := range file.Assign {
		node, err := n.node(fmt.Sprintf("assign[%d]", i))
		if err != nil {
			return err
		}
		if changed, err = changed.WithNode(node); err != nil {
			return err
		}
	}
	for i, text := range file.Remove {
		id, err := uuid.Parse(text)
		if err != nil {
			return invalid(fmt.Sprintf("remove[%d]", i), "%q is not a UUID", text)
		}
		changed = changed.WithoutNode(id, Layout{Nodes: []Node{{ID: id}}})
	}
	*c = changed
	return nil
}

// Between is the change that makes of current a layout with the nodes and the number of copies of another one. Nodes are compared by what an
// operator says of them; an address is that of the other. Kinds: Invalid.
func Between(current, other Layout) (Change, error) {
	c, err := Change{}.WithReplication(other.Replication, current)
	if err != nil {
		return Change{}, err
	}
	for _, n := range current.Nodes {
		if other.Index(n.ID) < 0 {
			c = c.WithoutNode(n.ID, current)
		}
	}
	for _, n := range other.Nodes {
		if at := current.Index(n.ID); at >= 0 && current.Nodes[at] == n {
			continue
		}
		if c, err = c.WithNode(n); err != nil {
			return Change{}, err
		}
	}
	return c, nil
}
