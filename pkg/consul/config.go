package consul

import (
	"net"
	"strings"
	"time"

	"deuxfleurs.fr/garage/pkg/config"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/rpc"
)

// Names of the services in Consul, which issues their certificates for these names.
const (
	ServiceGateway    = rpc.ServiceGateway
	ServiceMetadata   = rpc.ServiceMetadata
	ServiceChunkNode  = rpc.ServiceChunkNode
	ServiceRebalancer = rpc.ServiceRebalancer
)

// Config is what a program says about itself in Consul. Where Consul is and who asks comes from Consul's own
// environment variables.
type Config struct {
	Enabled        bool          `conf:"enabled" help:"registers this program in Consul and finds the others there; CONSUL_HTTP_ADDR and Consul's other variables say how to reach the agent"`
	Prefix         string        `conf:"prefix" help:"folder of Consul's key-value store with what the services of the cluster share"`
	Advertise      string        `conf:"advertise" help:"host or host:port at which others reach this program; default: where it listens"`
	AdvertiseAdmin string        `conf:"advertise-admin" help:"host or host:port at which Consul's agent reaches the administration server; default: the host of consul.advertise, or where it listens"`
	Tags           []string      `conf:"tags" help:"tags of this program's service in Consul, for example those that Traefik reads"`
	Drain          time.Duration `conf:"drain" help:"how long a program that stops goes on serving after it has left Consul, so that those who found it there notice" min:"0s" max:"5m"`
}

// DefaultConfig is Consul not used.
func DefaultConfig() Config { return Config{Prefix: "garage", Drain: time.Second} }

// Validate refuses what cannot be a folder of the key-value store, or an address.
func (c *Config) Validate() error {
	if trimmed := strings.Trim(c.Prefix, "/"); trimmed == "" || strings.Contains(trimmed, "//") {
		return config.Invalid("prefix", "must be a name such as garage, or several with / between them")
	}
	for key, value := range map[string]string{"advertise": c.Advertise, "advertise-admin": c.AdvertiseAdmin} {
		if value == "" {
			continue
		}
		host, _, err := split(value)
		if err != nil || isWildcard(host) {
			return config.Invalid(key, "%q is not a host or host:port that others can connect to", value)
		}
	}
	return nil
}

// split takes host:port or a host alone apart; port is then empty.
func split(address string) (host, port string, err error) {
	if ip := net.ParseIP(strings.Trim(address, "[]")); ip != nil {
		return ip.String(), "", nil
	}
	if !strings.Contains(address, ":") {
		return address, "", nil
	}
	return net.SplitHostPort(address)
}

func isWildcard(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// Address is what others connect to for a server that listens on listen, which setting says.
// Kinds: Invalid if that is every address of the machine and nothing says which to use.
func (c *Config) Address(setting, listen string) (string, error) {
	return advertised("consul.advertise", c.Advertise, setting, listen)
}

// AdminAddress is where Consul's agent finds the administration server, as Address is for the service's.
func (c *Config) AdminAddress(listen string) (string, error) {
	value := c.AdvertiseAdmin
	if value == "" && c.Advertise != "" {
		host, _, err := split(c.Advertise)
		if err != nil {
			return "", errors.E(errors.Invalid, errors.Setting, "consul.advertise", "%v", err)
		}
		value = host
	}
	return advertised("consul.advertise-admin", value, "admin.listen", listen)
}

func advertised(name, value, setting, listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", errors.E(errors.Invalid, errors.Setting, setting, "%v", err)
	}
	if value == "" {
		if isWildcard(host) {
			return "", errors.E(errors.Invalid, errors.Setting, setting,
				"%s is every address of this machine, and others need one of them: set %s to the address or name at which they reach it", listen, name)
		}
		return listen, nil
	}
	givenHost, givenPort, err := split(value)
	if err != nil {
		return "", errors.E(errors.Invalid, errors.Setting, name, "%v", err)
	}
	if givenPort == "" {
		givenPort = port
	}
	return net.JoinHostPort(givenHost, givenPort), nil
}
