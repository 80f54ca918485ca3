package main

import (
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"deuxfleurs.fr/garage/pkg/version"
)

type versionJSON struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersion() *cobra.Command {
	c := &connection{}
	cmd := &cobra.Command{
		Use: "version", Short: "Tell which version of Garage this is", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := versionJSON{version.String(), version.Commit(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return c.show(cmd, v, func(w io.Writer) { row(w, "garage "+v.Version+" (commit "+v.Commit+", "+v.Go+", "+v.Platform+")") })
		},
	}
	cmd.Flags().BoolVar(&c.json, "json", false, "write the answer as JSON")
	return cmd
}
