package s3gateway

import (
	"strings"
	"time"

	"deuxfleurs.fr/garage/pkg/chunker"
	"deuxfleurs.fr/garage/pkg/config"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/tlsfiles"
	"deuxfleurs.fr/garage/services/s3-gateway/accesslog"
	"deuxfleurs.fr/garage/services/s3-gateway/body"
)

// Config is the service's settings.
type Config struct {
	Listen      string          `conf:"listen" flag:"s3" help:"address of the S3 server"`
	TLS         tlsfiles.Config `conf:"tls"`
	Region      string          `conf:"region" help:"region that requests are signed for"`
	Strict      bool            `conf:"strict-region" help:"refuses requests signed for another region; otherwise us-east-1 is accepted as well"`
	RootDomains []string        `conf:"root-domains" help:"domains below which a host name is that of a bucket (virtual-host style)"`
	ChunkSize   config.Size     `conf:"chunk-size" help:"size of the chunks that bodies are cut into" min:"256KiB" max:"16MiB"`
	Inline      config.Size     `conf:"inline" help:"bodies up to this size are kept in the metadata; 0: none" max:"64KiB"`
	Window      config.Size     `conf:"window" help:"how much of one body is on its way to the chunk store at the same time"`
	ReadAhead   config.Size     `conf:"read-ahead" help:"how much of one body is read ahead of the client, at most"`
	MaxRequests int             `conf:"max-requests" help:"requests served at the same time; more are told to slow down" min:"1"`
	// MaxConnections is bounded by half of the process's file descriptors as well.
	MaxConnections int           `conf:"max-connections" help:"connections open at the same time; the one idle longest makes room for a new one" min:"1"`
	StepTimeout    time.Duration `conf:"step-timeout" help:"how long one call of the metadata or chunk store may take" min:"100ms"`
	IdleTimeout    time.Duration `conf:"idle-timeout" help:"how long a client may send or take nothing in the middle of a request" min:"100ms"`
	KeepAlive      time.Duration `conf:"keep-alive" help:"how long a connection is kept open between requests" min:"1s"`
	MinRate        config.Size   `conf:"min-rate" help:"bytes per second below which a client is cut, once idle-timeout has passed"`
	Progress       time.Duration `conf:"progress" help:"how often a long upload is recorded as alive" min:"10ms"`
	CacheTime      time.Duration `conf:"cache-time" help:"how long a bucket's settings are kept in memory; 0: not at all" max:"2s"`
	AccessLog      string        `conf:"access-log" help:"where a line for each request goes: off, stdout, stderr, or the path of a file, which SIGHUP opens anew"`
	Grace          time.Duration `conf:"grace" help:"how long requests under way may take when the service stops"`
}

// DefaultConfig is what suits most.
func DefaultConfig() Config {
	return Config{
		Listen:         "127.0.0.1:3900",
		Region:         "garage",
		ChunkSize:      chunker.DefaultSize,
		Inline:         body.DefaultInline,
		Window:         body.DefaultWindow,
		ReadAhead:      body.DefaultReadAhead,
		MaxRequests:    1024,
		MaxConnections: 4096,
		StepTimeout:    body.DefaultStepTimeout,
		IdleTimeout:    30 * time.Second,
		KeepAlive:      2 * time.Minute,
		MinRate:        1 << 10,
		Progress:       body.DefaultProgress,
		AccessLog:      accesslog.Off,
		Grace:          20 * time.Second,
	}
}

// Validate refuses what cannot work.
func (c *Config) Validate() error {
	if c.Region == "" {
		return config.Invalid("region", "must not be empty")
	}
	for i, d := range c.RootDomains {
		d = strings.ToLower(strings.Trim(d, "."))
		if d == "" {
			return config.Invalid("root-domains", "must be names such as s3.example.org")
		}
		c.RootDomains[i] = d
	}
	_, err := chunker.Fixed(int(c.ChunkSize))
	return err
}

// bodies is the configuration of the data path, given the memory there is.
func (c *Config) bodies(memory int) (body.Config, error) {
	cut, err := chunker.Fixed(int(c.ChunkSize))
	if err != nil {
		return body.Config{}, err
	}
	if need := body.MinPool(cut); memory < need {
		return body.Config{}, errors.E(errors.Invalid, errors.Setting, "memory",
			"bodies in chunks of %v need at least %v of memory, not %v", c.ChunkSize, config.Size(need), config.Size(memory))
	}
	inline := int(c.Inline)
	if inline == 0 {
		inline = -1
	}
	return body.Config{
		Chunker: cut, Inline: inline, Window: int(c.Window), ReadAhead: int(c.ReadAhead),
		Progress: c.Progress, StepTimeout: c.StepTimeout,
	}, nil
}
