package main

import (
	"os"

	"github.com/spf13/cobra"

	"deuxfleurs.fr/garage/pkg/config"
	"deuxfleurs.fr/garage/pkg/lifecycle"
	"deuxfleurs.fr/garage/pkg/telemetry"
	"deuxfleurs.fr/garage/services/standalone/nodes"
)

// nodesConfig are the supervisor's own settings; those of the processes come from the environment.
type nodesConfig struct {
	Data string `conf:"data" help:"folder that holds everything"`
	S3   struct {
		Listen string `conf:"listen" flag:"s3" help:"address of the S3 server"`
		Region string `conf:"region" help:"region that clients sign for"`
	} `conf:"s3"`
	Admin struct {
		Listen string `conf:"listen" flag:"admin" help:"address of the administration server"`
		Token  string `conf:"token" help:"token that administrators present" secret:"true"`
	} `conf:"admin"`
	Log telemetry.LogConfig `conf:"log"`
}

func newNodes() *cobra.Command {
	c := &nodesConfig{Data: "var/nodes", Log: telemetry.DefaultLogConfig()}
	c.S3.Listen, c.S3.Region, c.Admin.Listen = "127.0.0.1:3900", "garage", defaultAdmin
	loader := config.New(c)
	cmd := &cobra.Command{
		Use: "nodes", Short: "Run gateway, metadata, rebalancer and three chunk-nodes as processes on this machine", Args: cobra.NoArgs,
		Long: `Run gateway, metadata, rebalancer and three chunk-nodes, in three zones, as processes on this machine.

It is for trying out and for tests. The processes and their logs are listed in nodes.json in the data folder;
one that ends is said and not started again. Settings of the services are given in the environment, such
as GARAGE_CHUNK_FSYNC; the help of each program lists them.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := loader.Load(os.Environ()); err != nil {
				return err
			}
			log := telemetry.NewLogger(os.Stderr, c.Log)
			s := nodes.New(nodes.Config{Data: c.Data, S3: c.S3.Listen, Admin: c.Admin.Listen, Region: c.S3.Region, Token: c.Admin.Token},
				log, cmd.OutOrStdout())
			ctx, release := lifecycle.Signals(cmd.Context(), log, func() { s.Kill(); os.Exit(130) })
			defer release()
			return s.Run(ctx)
		},
	}
	loader.AddFlags(cmd.Flags())
	return cmd
}
