// Package console drives the operator's console in a real Chromium: against a standalone server and against separate processes, and,
// with the build tag stack, against services that find each other through a real Consul.
//
// It looks at the pages as a person does, also with the keyboard alone, on a narrow screen, in light and dark; and as axe-core does, for
// what keeps people from using them. What it saw is kept as pictures in var/test/console.
//
// What happens to nodes, in nodes_test.go, is for the deployment nodes alone; of the others, standalone runs those that its part in tools/testrun names.
//
// Start reading at browser_test.go.
package console
