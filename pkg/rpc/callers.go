package rpc

import (
	"slices"
	"strings"
)

// Names of the services, in Consul and in their certificates.
const (
	ServiceGateway    = "garage-s3-gateway"
	ServiceMetadata   = "garage-metadata"
	ServiceChunkNode  = "garage-chunk-node"
	ServiceRebalancer = "garage-rebalancer"
)

// callers says which services may call which method; what is not here nobody may call. The line of a method counts
// before that of its service.
var callers = map[string][]string{
	"/garage.metadata.v1.MetadataService/*": {ServiceGateway, ServiceRebalancer},
	// Keys are made and removed by the operator; gateways look them up.
	"/garage.metadata.v1.MetadataService/CreateKey": {ServiceRebalancer},
	"/garage.metadata.v1.MetadataService/DeleteKey": {ServiceRebalancer},
	"/garage.metadata.v1.MetadataService/ListKeys":  {ServiceRebalancer},
	// What is garbage is decided and dropped inside the metadata service.
	"/garage.metadata.v1.MetadataService/ListGarbage": {},
	"/garage.metadata.v1.MetadataService/DropGarbage": {},
	// A chunk-node asks what the references it keeps belong to, and whether the metadata is its cluster's.
	"/garage.metadata.v1.MetadataService/FindAttempts": {ServiceRebalancer, ServiceChunkNode},
	"/garage.metadata.v1.MetadataService/GetInfo":      {ServiceGateway, ServiceRebalancer, ServiceChunkNode},

	"/garage.chunknode.v1.ChunkNodeService/*": {ServiceGateway, ServiceRebalancer, ServiceChunkNode},
	// The sweeper removes references, has those owed that were not reached, and probes. Snapshots are kept in chunks, and
	// what they bring back is referred to again.
	"/garage.chunknode.v1.ChunkNodeService/Get":    {ServiceGateway, ServiceMetadata, ServiceRebalancer, ServiceChunkNode},
	"/garage.chunknode.v1.ChunkNodeService/Put":    {ServiceGateway, ServiceMetadata, ServiceRebalancer, ServiceChunkNode},
	"/garage.chunknode.v1.ChunkNodeService/PutRef": {ServiceGateway, ServiceMetadata, ServiceRebalancer, ServiceChunkNode},
	"/garage.chunknode.v1.ChunkNodeService/Repair": {ServiceGateway, ServiceMetadata, ServiceRebalancer, ServiceChunkNode},
	"/garage.chunknode.v1.ChunkNodeService/Delete": {ServiceGateway, ServiceMetadata, ServiceRebalancer, ServiceChunkNode},
	"/garage.chunknode.v1.ChunkNodeService/Owe":    {ServiceGateway, ServiceMetadata, ServiceRebalancer, ServiceChunkNode},
	"/garage.chunknode.v1.ChunkNodeService/Status": {ServiceGateway, ServiceMetadata, ServiceRebalancer, ServiceChunkNode},

	// Whoever sends requests that carry the number of a layout may tell and learn layouts.
	"/garage.chunknode.v1.ChunkNodeService/GetLayouts":   {ServiceGateway, ServiceMetadata, ServiceRebalancer, ServiceChunkNode},
	"/garage.chunknode.v1.ChunkNodeService/AdoptLayouts": {ServiceGateway, ServiceMetadata, ServiceRebalancer, ServiceChunkNode},
	// Nodes compare what they hold.
	"/garage.chunknode.v1.ChunkNodeService/GetPartitionSums": {ServiceRebalancer, ServiceChunkNode},
	"/garage.chunknode.v1.ChunkNodeService/GetBucketSums":    {ServiceRebalancer, ServiceChunkNode},
	"/garage.chunknode.v1.ChunkNodeService/ListEntries":      {ServiceRebalancer, ServiceChunkNode},
	"/garage.chunknode.v1.ChunkNodeService/Command":          {ServiceRebalancer},
	"/garage.chunknode.v1.ChunkNodeService/ListDamaged":      {ServiceRebalancer},
	"/garage.chunknode.v1.ChunkNodeService/GetGaps":          {ServiceRebalancer},

	"/garage.cluster.v1.ClusterService/*":              {ServiceChunkNode},
	"/garage.cluster.v1.ClusterService/ReportCounters": {ServiceGateway},
	// It is asked at administration servers, with the operator's token.
	"/garage.cluster.v1.CountersService/*": {},
	// What only a program itself can see is gathered for the operator.
	"/garage.cluster.v1.DiagnoseService/*": {ServiceRebalancer},
	// A rebalancer that stands by hands the operator's commands to the active one.
	"/garage.admin.v1.AdminService/*": {ServiceRebalancer},

	"/grpc.health.v1.Health/*": {ServiceGateway, ServiceMetadata, ServiceChunkNode, ServiceRebalancer},
}

// mayCall tells whether a service may call a method, which is given in full: /package.Service/Method.
func mayCall(service, method string) bool {
	allowed, listed := callers[method]
	if !listed {
		allowed = callers[method[:strings.LastIndexByte(method, '/')+1]+"*"]
	}
	return slices.Contains(allowed, service)
}
