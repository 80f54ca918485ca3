// Package sites runs Garage as homes do: at several sites, each a network namespace, joined by links of tools/stack/links, which may
// be slow, lossy or cut.
//
// In the first site are Consul, the metadata service on Pebble, a rebalancer and a gateway; a second site may have a rebalancer too.
// Each site is a zone with chunk-nodes. The programs find each other through Consul, from which they have the layouts and their
// certificates, so that all that they say to each other goes over the links. It needs root; Consul is installed if it is not there.
//
// Invariants: only processes started here are ended; what is started dies with the process that started it; a cluster that is closed
// leaves no process, namespace or device. Start reading at [Start].
package sites
