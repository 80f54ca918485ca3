package consul

import (
	"log/slog"
	"testing"

	"github.com/google/uuid"
	"github.com/hashicorp/consul/api"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/clock"
)

func TestWhatAProgramSaysOfItselfIsWhatOthersHear(t *testing.T) {
	c, err := New(DefaultConfig(), Deps{Clock: clock.System{}, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	c.Join(uuid.New())
	for _, secure := range []bool{false, true} {
		id := uuid.New()
		r, err := c.NewRegistration(Service{Name: ServiceGateway, NodeID: id, Address: "10.0.0.1:3900", TLS: secure, Admin: "127.0.0.1:3910", Zone: "home", Version: "1"})
		require.NoError(t, err)
		d := r.description()
		heard := c.instances([]*api.ServiceEntry{{Node: &api.Node{Node: "pi"}, Service: &api.AgentService{ID: d.ID, Address: d.Address, Port: d.Port, Meta: d.Meta}}})
		require.Equal(t, []Instance{{ID: d.ID, NodeID: id, Address: "10.0.0.1:3900", TLS: secure, Admin: "127.0.0.1:3910", Machine: "pi", Zone: "home", Version: "1", Healthy: true}}, heard)
	}
}

func TestAViewThatBecomesEmptyIsNotBelieved(t *testing.T) {
	w := newWatch()
	before := w.View()
	require.False(t, before.Known)
	require.True(t, w.set(nil), "at the beginning there may be nobody")
	<-before.Changed
	require.True(t, w.View().Known)

	some := []Instance{{ID: "a"}, {ID: "b"}}
	require.True(t, w.set(some))
	require.False(t, w.set([]Instance{{ID: "a"}, {ID: "b"}}), "the same again is no change")
	require.False(t, w.set(nil))
	require.Equal(t, some, w.Instances())
	require.True(t, w.set(some[:1]))
	require.Equal(t, some[:1], w.Instances())
}

func TestWhichInstancesAreUsed(t *testing.T) {
	a, b := uuid.New(), uuid.New()
	well := Instance{NodeID: a, Address: "a", Healthy: true}
	ill := Instance{NodeID: b, Address: "b"}
	require.Equal(t, []string{"a"}, choose([]Instance{well, ill}, uuid.Nil), "healthy ones")
	require.Equal(t, []string{"b"}, choose([]Instance{ill}, uuid.Nil), "or all, if none is")
	require.Equal(t, []string{"b"}, choose([]Instance{well, ill}, b), "a node, however it is")
	require.Empty(t, choose([]Instance{well}, b))
	other := well
	other.Address = "c"
	other.Healthy = false
	require.Equal(t, []string{"a"}, choose([]Instance{other, well}, a), "of a node registered twice the healthy one")
	other.Healthy = true
	well.Index, other.Index = 7, 8
	require.Equal(t, []string{"a"}, choose([]Instance{other, well}, a), "of two that are well the one that came first")
	require.Equal(t, []string{"c", "a"}, choose([]Instance{other, well}, uuid.Nil), "which matters to nobody else")
}
