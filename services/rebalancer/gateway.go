package rebalancer

import (
	"context"
	"net/url"

	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/errors"
)

// Gateway is where a gateway that Consul takes for healthy serves S3. Kinds: Unavailable, PreconditionFailed (without Consul).
func (s *Service) Gateway(context.Context) (*url.URL, error) {
	if s.deps.Consul == nil {
		return nil, errors.E(errors.PreconditionFailed, errors.Setting, "console.s3-endpoint", "without Consul it is not known where S3 answers: set it to the URL of a gateway")
	}
	for _, i := range s.deps.Consul.Watch(consul.ServiceGateway).Instances() {
		if i.Healthy {
			return &url.URL{Scheme: "http", Host: i.Address}, nil
		}
	}
	return nil, errors.Newf(errors.Unavailable, "Consul knows no s3-gateway that is healthy")
}
