package parts

import "fmt"

// Agent is a machine of the cluster, played by one address of loopback: an agent of Consul and a client of Nomad.
type Agent struct {
	// Name is the machine's name in Consul and Nomad.
	Name string
	// Address is an address of 127.0.0.0/8 that no other machine has.
	Address string
	// Meta is shown by both: "zone" at least.
	Meta map[string]string
}

// Agents returns machines called "node-1" and so on, on 127.0.0.11 and so on, spread over zones "zone-1" and so on.
func Agents(nodes, zones int) []Agent {
	var all []Agent
	for n := range nodes {
		all = append(all, Agent{
			Name: fmt.Sprintf("node-%d", n+1), Address: fmt.Sprintf("127.0.0.%d", 11+n),
			Meta: map[string]string{"zone": fmt.Sprintf("zone-%d", n%max(1, zones)+1)},
		})
	}
	return all
}
