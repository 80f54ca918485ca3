package standalone

import (
	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/config"
	"deuxfleurs.fr/garage/pkg/identity/sources"
	"deuxfleurs.fr/garage/pkg/program"
	chunknode "deuxfleurs.fr/garage/services/chunk-node"
	"deuxfleurs.fr/garage/services/metadata"
	"deuxfleurs.fr/garage/services/rebalancer"
	"deuxfleurs.fr/garage/services/rebalancer/console"
	s3gateway "deuxfleurs.fr/garage/services/s3-gateway"
)

// Config is the settings of all services, each in its section.
type Config struct {
	program.Settings `conf:""`
	Memory           config.Size       `conf:"memory" help:"memory for bodies on their way in and out" min:"32MiB"`
	S3               s3gateway.Config  `conf:"s3"`
	Chunk            chunknode.Config  `conf:"chunk"`
	Metadata         metadata.Config   `conf:"metadata"`
	Rebalancer       rebalancer.Config `conf:"rebalancer"`
	Console          console.Config    `conf:"console"`
	Identity         sources.Config    `conf:"identity"`
}

// DefaultConfig is what suits a small machine.
func DefaultConfig() *Config {
	c := &Config{
		Settings:   program.DefaultSettings("var/garage", "127.0.0.1:3903"),
		Memory:     buffer.DefaultLimit,
		S3:         s3gateway.DefaultConfig(),
		Chunk:      chunknode.DefaultConfig(),
		Metadata:   metadata.DefaultConfig(),
		Rebalancer: rebalancer.DefaultConfig(),
		Console:    console.DefaultConfig(),
		Identity:   sources.DefaultConfig(),
	}
	c.Rebalancer.Settle = 0 // the gateway asks the store in the same process each time
	return c
}
