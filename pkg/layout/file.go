package layout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/config"
	"deuxfleurs.fr/garage/pkg/errors"
)

// maxFileSize is far above what MaxNodes nodes take.
const maxFileSize = 64 << 20

// DefaultAutoTokens is the number of tokens of a node in a file that states
// neither its capacity in bytes nor its tokens.
const DefaultAutoTokens = 100

// ReadFile reads a layout from a JSON file:
//
//	{
//	  "number": 1,
//	  "replication": 3,
//	  "nodes": [
//	    {"id": "5f0c…", "zone": "paris", "capacity": "2TB", "tokens": 160, "address": "192.0.2.7:3901"},
//	    …
//	  ]
//	}
//
// capacity is a number of bytes, a size as config.ParseSize reads it, or "auto" (which
// it also is when left out): then it is what its tokens stand for, because
// every process that reads the file must come to the same assignment. tokens
// may be left out: they are then proposed from the capacity, or, when that is
// "auto", DefaultAutoTokens. Errors name the file and the field.
func ReadFile(path string) (Layout, error) {
	f, err := os.Open(path)
	if err != nil {
		return Layout{}, errors.Wrap(errors.Invalid, err, "opening the layout file")
	}
	defer f.Close() // only read
	b, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return Layout{}, errors.Wrap(errors.Invalid, err, "reading the layout file %s", path)
	}
	if len(b) > maxFileSize {
		return Layout{}, errors.Newf(errors.Invalid, "the layout file %s has more than %d bytes", path, maxFileSize)
	}
	l, err := Parse(b)
	return l, errors.Annotate(err, "in the layout file %s", path)
}

type fileLayout struct {
	Number      uint64     `json:"number"`
	Replication int        `json:"replication"`
	Nodes       []fileNode `json:"nodes"`
}

type fileNode struct {
	ID       string          `json:"id"`
	Zone     string          `json:"zone"`
	Capacity json.RawMessage `json:"capacity,omitempty"`
	Tokens   *int            `json:"tokens,omitempty"`
	Address  string          `json:"address,omitempty"`
}

// Parse reads a layout from JSON, as ReadFile does.
func Parse(b []byte) (Layout, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var file fileLayout
	if err := d.Decode(&file); err != nil {
		return Layout{}, errors.Wrap(errors.Invalid, err, "not a layout in JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return Layout{}, errors.Newf(errors.Invalid, "not a layout in JSON: something follows it at byte %d", d.InputOffset())
	}
	nodes := make([]Node, len(file.Nodes))
	seen := make(map[uuid.UUID]int, len(nodes))
	for i, n := range file.Nodes {
		field := fmt.Sprintf("nodes[%d]", i)
		node, err := n.node(field)
		if err != nil {
			return Layout{}, err
		}
		// Checked here because New sorts: from then on the places in the file are lost.
		if err := validateNode(field, node); err != nil {
			return Layout{}, err
		}
		if first, twice := seen[node.ID]; twice {
			return Layout{}, invalid(field+".id", "is that of nodes[%d] too", first)
		}
		seen[node.ID] = i
		nodes[i] = node
	}
	return New(file.Number, file.Replication, nodes)
}

func (n fileNode) node(field string) (Node, error) {
	id, err := uuid.Parse(n.ID)
	if err != nil || len(n.ID) != 36 {
		return Node{}, invalid(field+".id", "%q is not a UUID, which is 8-4-4-4-12 hexadecimal digits", n.ID)
	}
	capacity, err := parseCapacity(n.Capacity)
	if err != nil {
		return Node{}, invalid(field+".capacity", "%v", err)
	}
	node := Node{ID: id, Zone: n.Zone, Capacity: capacity, Address: n.Address}
	switch {
	case n.Tokens != nil:
		node.Tokens = *n.Tokens
	case capacity == AutoCapacity:
		node.Tokens = DefaultAutoTokens
	default:
		node.Tokens = ProposeTokens(capacity)
	}
	return node, nil
}

func parseCapacity(raw json.RawMessage) (uint64, error) {
	text := string(raw)
	switch {
	case text == "":
		return AutoCapacity, nil
	case text[0] == '"':
		if err := json.Unmarshal(raw, &text); err != nil {
			return 0, err
		}
		if text == "auto" {
			return AutoCapacity, nil
		}
	}
	size, err := config.ParseSize(text)
	if err != nil || size == 0 {
		return 0, errors.New(`must be a size above 0, such as 500GB, 2TiB or a number of bytes, or "auto"`)
	}
	return uint64(size), nil
}

// MarshalJSON writes the layout as Parse reads it.
func (l Layout) MarshalJSON() ([]byte, error) {
	file := fileLayout{Number: l.Number, Replication: l.Replication, Nodes: make([]fileNode, len(l.Nodes))}
	for i, n := range l.Nodes {
		file.Nodes[i] = n.file()
	}
	return json.Marshal(file)
}

// file is the node as files have it.
func (n Node) file() fileNode {
	capacity := json.RawMessage(`"auto"`)
	if n.Capacity != AutoCapacity {
		capacity = fmt.Append(nil, n.Capacity)
	}
	return fileNode{ID: n.ID.String(), Zone: n.Zone, Capacity: capacity, Tokens: &n.Tokens, Address: n.Address}
}

// UnmarshalJSON reads the layout as Parse does.
func (l *Layout) UnmarshalJSON(b []byte) error {
	parsed, err := Parse(b)
	if err != nil {
		return err
	}
	*l = parsed
	return nil
}
