// Package links joins network namespaces by links that are as bad as those between homes: slow, lossy, out of order, limited, cut.
//
// A [Site] is a namespace with a TUN device. A [Network] reads the IPv4 packets that leave each site, and hands each to the site it
// is for when its [Link] says so, or never. No program in a site knows: it is the real network stack, with its timers and windows.
// Nothing is needed of the kernel but namespaces and TUN, no scheduler (netem) and no firewall, but it takes root.
//
// Invariants:
//   - the host's own network is not touched: a site has nothing but its loopback and its TUN device;
//   - nothing is left behind. Namespaces have no name and devices are not persistent, so that the kernel removes them with the last
//     process that holds them; what a site started is killed by the kernel when the process that made the network dies;
//   - the decisions of a link (lose, reorder, how late) are a function of the seed and the number of the packet on that link;
//   - what waits is bounded: a link with a rate drops what would wait longer than [queued], as a router does.
//
// Start reading at [New], then link.go for what happens to a packet.
package links
