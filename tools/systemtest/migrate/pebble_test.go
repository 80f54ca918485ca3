//go:build !stack

package migrate

import "testing"

// database is what the cluster is told about its database: it keeps metadata in its metadata service.
func database(*testing.T) []string { return nil }
