package sites

import (
	"context"
	"errors"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/stack/links"
)

// asking bounds one call of the administration.
const asking = 30 * time.Second

// Admin calls the administration of the first rebalancer that runs, from its site.
func (c *Cluster) Admin(ctx context.Context, call func(context.Context, adminv1.AdminServiceClient) error) error {
	for i, p := range c.Rebalancers {
		if p.Alive() {
			return c.admin(ctx, c.Sites[i], p, call)
		}
	}
	return errors.New("no rebalancer runs")
}

func (c *Cluster) admin(ctx context.Context, site *links.Site, p *deploy.Process, call func(context.Context, adminv1.AdminServiceClient) error) error {
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	dial := func(ctx context.Context, address string) (net.Conn, error) {
		return site.DialContext(ctx, "tcp4", address)
	}
	conn, err := grpc.NewClient("passthrough:///"+p.Admin, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(dial), grpc.WithPerRPCCredentials(bearer{}))
	if err != nil {
		return err
	}
	defer conn.Close()
	return call(ctx, adminv1.NewAdminServiceClient(conn))
}

// bearer sends the administrators' token, in clear: no link is real.
type bearer struct{}

func (bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + token}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }

// Status is how the cluster is, as its rebalancer knows it.
func (c *Cluster) Status(ctx context.Context) (status *adminv1.GetStatusResponse, err error) {
	err = c.Admin(ctx, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
		status, err = admin.GetStatus(ctx, &adminv1.GetStatusRequest{})
		return err
	})
	return status, err
}
