package nodes

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"deuxfleurs.fr/garage/pkg/datafolder"
	"deuxfleurs.fr/garage/pkg/layout"
)

const (
	// ChunkNodes is the number of chunk-nodes, each in a zone of its own.
	ChunkNodes = 3

	layoutFile = "layout.json"
	logFolder  = "log"
)

// process is one of the programs to run.
type process struct {
	Name    string `json:"name"`
	PID     int    `json:"pid"`
	Data    string `json:"data"`
	Admin   string `json:"admin"`
	Address string `json:"address,omitempty"` // of its gRPC or S3 server
	Log     string `json:"log"`

	program string
	args    []string
	running *running
}

// plan decides addresses and folders, writes the layout and returns the processes in the order in which they start.
func plan(folder *datafolder.Folder, s3, admin, region string) ([]*process, error) {
	if err := os.MkdirAll(folder.Path(logFolder), 0o700); err != nil {
		return nil, err
	}
	var all []*process
	add := func(name, program, address, admin string, args ...string) {
		p := &process{Name: name, program: program, Data: folder.Path(name), Address: address, Admin: admin, Log: folder.Path(logFolder, name+".log")}
		p.args = append([]string{"--data", p.Data, "--cluster-id", folder.Info().ClusterID.String(), "--admin", admin}, args...)
		all = append(all, p)
	}
	ports, err := freeAddresses(2*ChunkNodes + 3)
	if err != nil {
		return nil, err
	}
	next := func() string { a := ports[0]; ports = ports[1:]; return a }
	metadata := next()
	var members []layout.Node
	for i := range ChunkNodes {
		name := fmt.Sprintf("chunk-node-%d", i+1)
		id, err := identify(folder.Path(name), folder.Info().ClusterID)
		if err != nil {
			return nil, err
		}
		address := next()
		members = append(members, layout.Node{ID: id, Zone: fmt.Sprintf("zone-%d", i+1), Tokens: layout.DefaultAutoTokens, Address: address})
		add(name, "chunk-node", address, next(), "--listen", address, "--metadata", metadata)
	}
	add("metadata", "metadata", metadata, next(), "--layout", folder.Path(layoutFile), "--listen", metadata)
	gatewayAdmin := next()
	add("rebalancer", "rebalancer", "", admin, "--layout", folder.Path(layoutFile), "--metadata", metadata, "--peers", "s3-gateway="+gatewayAdmin,
		"--console-s3-endpoint", "http://"+s3, "--console-s3-region", region)
	add("s3-gateway", "s3-gateway", s3, gatewayAdmin, "--layout", folder.Path(layoutFile), "--metadata", metadata, "--s3", s3, "--s3-region", region)
	return all, writeLayout(folder.Path(layoutFile), members)
}

// identify makes the chunk-node's folder where there is none, and returns the node's ID.
func identify(path string, cluster uuid.UUID) (uuid.UUID, error) {
	folder, err := datafolder.Open(path, datafolder.Options{Service: "chunk-node", ClusterID: cluster})
	if err != nil {
		return uuid.Nil, err
	}
	return folder.Info().NodeID, folder.Close()
}

func writeLayout(path string, members []layout.Node) error {
	l, err := layout.New(1, ChunkNodes, members)
	if err != nil {
		return err
	}
	content, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return datafolder.WriteFile(path, append(content, '\n'), 0o600)
}

// freeAddresses finds loopback addresses on which nobody listens. They are held until all are found,
// so that they differ.
func freeAddresses(n int) ([]string, error) {
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out, nil
}

// programPath finds a program beside this one.
func programPath(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the program %s is not beside this one: build all with \"make build\" (%w)", name, err)
	}
	return path, nil
}
