package peers

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"deuxfleurs.fr/garage/pkg/adminserver"
	"deuxfleurs.fr/garage/pkg/consul"
	"deuxfleurs.fr/garage/pkg/diagnose"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/membership"
	"deuxfleurs.fr/garage/pkg/rpc"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
	"deuxfleurs.fr/garage/services/rebalancer"
)

// diagnoseNodes has diagnoses of the program try to reach each chunk-node of the layouts in force.
func (r Reach) diagnoseNodes(members *membership.Members) {
	r.program.Diagnosis.AddLinks(func() []diagnose.Link {
		view, _ := members.Current()
		var links []diagnose.Link
		for id, client := range view.Nodes {
			links = append(links, diagnose.Link{Name: "chunk-node", Peer: id.String(), Check: func(ctx context.Context) error {
				_, err := client.Status(ctx)
				return err
			}})
		}
		slices.SortFunc(links, func(a, b diagnose.Link) int { return strings.Compare(a.Peer, b.Peer) })
		return links
	})
}

// diagnoseMetadata has diagnoses of the program try to reach a metadata service.
func (r Reach) diagnoseMetadata(address string, conn grpc.ClientConnInterface) {
	client := healthv1.NewHealthClient(conn)
	r.program.Diagnosis.AddLink(diagnose.Link{Name: "metadata", Peer: address, Check: func(ctx context.Context) error {
		_, err := client.Check(ctx, &healthv1.HealthCheckRequest{})
		return err
	}})
}

// Parts are the other programs that Consul knows, as a rebalancer has them diagnose themselves. Gateways are asked at their administration
// address, with the token of the operator who asks.
func (r Reach) Parts() []rebalancer.Part {
	var all []rebalancer.Part
	for _, service := range []string{consul.ServiceGateway, consul.ServiceMetadata, consul.ServiceChunkNode, consul.ServiceRebalancer} {
		for _, i := range r.program.Consul.Watch(service).Instances() {
			if i.NodeID == r.program.Folder.Info().NodeID {
				continue
			}
			part := rebalancer.Part{Service: strings.TrimPrefix(service, "garage-"), NodeID: i.NodeID, Machine: i.Machine, Address: i.Address}
			if service == consul.ServiceGateway {
				part.Diagnose = diagnoseAdmin(i.Admin)
			} else {
				part.Diagnose = diagnoseOver(func() (*grpc.ClientConn, error) { return r.DialNode(service, i.NodeID) })
			}
			all = append(all, part)
		}
	}
	return all
}

// NamedParts are the chunk-nodes of the layout file, the metadata service at an address, and the services at administration addresses given as
// name=address, as a rebalancer without Consul has them diagnose themselves.
func (r Reach) NamedParts(members *membership.Members, metadataAddress string, others []string) []rebalancer.Part {
	dial := func(service, address string) rebalancer.Diagnose {
		return diagnoseOver(func() (*grpc.ClientConn, error) {
			return rpc.Dial(address, r.identity.For(service), r.metrics)
		})
	}
	var all []rebalancer.Part
	if view, ok := members.Current(); ok {
		for _, n := range view.Layouts.Nodes() {
			all = append(all, rebalancer.Part{Service: "chunk-node", NodeID: n.ID, Address: n.Address, Diagnose: dial(consul.ServiceChunkNode, n.Address)})
		}
	}
	address := metadataAddress
	if address == "" {
		address = metadataDefault
	}
	all = append(all, rebalancer.Part{Service: "metadata", NodeID: uuid.Nil, Address: address, Diagnose: dial(consul.ServiceMetadata, address)})
	for _, other := range others {
		if name, address, ok := strings.Cut(other, "="); ok && name != "metadata" && name != "chunk-node" {
			all = append(all, rebalancer.Part{Service: name, NodeID: uuid.Nil, Address: address, Diagnose: diagnoseAdmin(address)})
		}
	}
	return all
}

func diagnoseOver(dial func() (*grpc.ClientConn, error)) rebalancer.Diagnose {
	return func(ctx context.Context) (answer *clusterv1.DiagnoseResponse, err error) {
		conn, err := dial()
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, conn.Close()) }()
		return clusterv1.NewDiagnoseServiceClient(conn).Diagnose(ctx, &clusterv1.DiagnoseRequest{})
	}
}

// diagnoseAdmin asks at an administration address, with the token that came with the request.
func diagnoseAdmin(address string) rebalancer.Diagnose {
	return func(ctx context.Context) (*clusterv1.DiagnoseResponse, error) {
		token := ""
		for _, header := range metadata.ValueFromIncomingContext(ctx, "authorization") {
			token, _ = strings.CutPrefix(header, "Bearer ")
		}
		answer, err := diagnoseOver(func() (*grpc.ClientConn, error) {
			return adminserver.Dial(adminserver.DialConfig{Address: address, Token: token})
		})(ctx)
		return answer, errors.Annotate(err, "asking its administration address %s, which must be reachable from rebalancers with TLS (admin.tls) and have the same token (%s); "+
			"or ask it alone, on its machine: garage doctor --data its-data-folder", address, adminserver.TokenEnv)
	}
}
