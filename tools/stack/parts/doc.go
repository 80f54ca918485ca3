// Package parts installs, starts, watches and stops the programs of others that Garage runs on: Cassandra, Consul, Nomad, Traefik and
// slapd, all on loopback, and installs Chromium.
//
// A [Stack] is a data folder with everything in it: configurations, data, logs, the records of the running processes (package
// process), and the file "env" that says where each part answers. The processes outlive the program that started them; any later
// program opens the folder and finds them by name. A [Part] says what is to run and is made ready by [Stack.Up], which can be
// repeated: what runs stays as it is.
//
// Invariants: readiness is what the part itself answers, never an open port or a pause; only what was started here is stopped;
// every listener is on 127.0.0.0/8; nothing asks the internet for anything once it is installed. All ports move by one offset, so
// that several stacks run side by side.
//
// Start reading at [Stack.Up], then at a part: cassandra.go, consul.go, nomad.go, ldap.go, traefik.go.
package parts
