package rpc

import (
	"context"
	"hash/fnv"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
)

// balancerName is the policy by which connections with several addresses choose one for each call.
const balancerName = "garage_affinity"

// balanced is the service configuration that names the policy.
const balanced = `{"loadBalancingConfig": [{"` + balancerName + `": {}}]}`

// gRPC finds policies only by a name that was registered before any connection is made.
func init() { balancer.Register(base.NewBalancerBuilder(balancerName, pickers{}, base.Config{})) }

type affinityKey struct{}

// WithAffinity has all calls with the same key go to the same instance, as long as it is there and well. Calls without
// a key go to one after the other.
func WithAffinity(ctx context.Context, key []byte) context.Context {
	return context.WithValue(ctx, affinityKey{}, string(key))
}

// WithoutAffinity undoes WithAffinity, for a call that is better made elsewhere.
func WithoutAffinity(ctx context.Context) context.Context {
	return context.WithValue(ctx, affinityKey{}, "")
}

type pickers struct{}

// Build implements base.PickerBuilder.
func (pickers) Build(info base.PickerBuildInfo) balancer.Picker {
	if len(info.ReadySCs) == 0 {
		return base.NewErrPicker(balancer.ErrNoSubConnAvailable)
	}
	p := &picker{}
	for conn, i := range info.ReadySCs {
		p.conns = append(p.conns, conn)
		p.addresses = append(p.addresses, i.Address.Addr)
	}
	return p
}

// picker chooses among connections that are ready.
type picker struct {
	conns     []balancer.SubConn
	addresses []string
	next      atomic.Uint32
}

// Pick implements balancer.Picker.
func (p *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	if key, ok := info.Ctx.Value(affinityKey{}).(string); ok && key != "" {
		return balancer.PickResult{SubConn: p.conns[prefer(p.addresses, key)]}, nil
	}
	return balancer.PickResult{SubConn: p.conns[p.next.Add(1)%uint32(len(p.conns))]}, nil
}

// prefer is the address that a key goes to: that of the highest hash of both, so that of the keys only those of
// an address that goes move, and only to one that comes.
func prefer(addresses []string, key string) int {
	best, highest := 0, uint64(0)
	for i, a := range addresses {
		h := fnv.New64a()
		// A hash takes all it is given.
		_, _ = h.Write([]byte(key))
		_, _ = h.Write([]byte(a))
		if n := mix(h.Sum64()); n > highest || n == highest && strings.Compare(a, addresses[best]) < 0 {
			best, highest = i, n
		}
	}
	return best
}

// mix spreads a hash over all bits (the finalizer of MurmurHash3): FNV leaves the high ones alike for addresses that
// differ in the end.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
