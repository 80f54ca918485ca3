package rpc

import (
	"slices"
	"strings"
)

// Names of the services, as their certificates have them (they are those of package consul).
const (
	gateway    = "garage-s3-gateway"
	metadata   = "garage-metadata"
	chunkNode  = "garage-chunk-node"
	rebalancer = "garage-rebalancer"
)

// callers says which services may call which method; what is not here nobody may call. The line of a method counts
// before that of its service.
var callers = map[string][]string{
	"/garage.metadata.v1.MetadataService/*": {gateway, rebalancer},
	// Keys are made and removed by the operator; gateways look them up.
	"/garage.metadata.v1.MetadataService/CreateKey": {rebalancer},
	"/garage.metadata.v1.MetadataService/DeleteKey": {rebalancer},
	"/garage.metadata.v1.MetadataService/ListKeys":  {rebalancer},
	// What is garbage is decided and dropped inside the metadata service.
	"/garage.metadata.v1.MetadataService/ListGarbage": {},
	"/garage.metadata.v1.MetadataService/DropGarbage": {},

	"/garage.chunknode.v1.ChunkNodeService/*": {gateway, rebalancer, chunkNode},
	// The sweeper removes references, has those owed that were not reached, and probes.
	"/garage.chunknode.v1.ChunkNodeService/Delete": {gateway, metadata, rebalancer, chunkNode},
	"/garage.chunknode.v1.ChunkNodeService/Owe":    {gateway, metadata, rebalancer, chunkNode},
	"/garage.chunknode.v1.ChunkNodeService/Status": {gateway, metadata, rebalancer, chunkNode},

	"/garage.cluster.v1.ClusterService/*": {chunkNode},
	// A rebalancer that stands by hands the operator's commands to the active one.
	"/garage.admin.v1.AdminService/*": {rebalancer},

	"/grpc.health.v1.Health/*": {gateway, metadata, chunkNode, rebalancer},
}

// mayCall tells whether a service may call a method, which is given in full: /package.Service/Method.
func mayCall(service, method string) bool {
	allowed, listed := callers[method]
	if !listed {
		allowed = callers[method[:strings.LastIndexByte(method, '/')+1]+"*"]
	}
	return slices.Contains(allowed, service)
}
