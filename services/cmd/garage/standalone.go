package main

import (
	"github.com/spf13/cobra"

	"deuxfleurs.fr/garage/pkg/program"
	"deuxfleurs.fr/garage/services/standalone"
)

func newStandalone() *cobra.Command {
	c := standalone.DefaultConfig()
	return program.Command("standalone", "Run Garage in one process on one data folder", c, &c.Settings, c.Build)
}
