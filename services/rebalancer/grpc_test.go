package rebalancer

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"deuxfleurs.fr/garage/pkg/adminserver"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/identity"
	"deuxfleurs.fr/garage/pkg/identity/keys"
	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/meta/memory"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	clusterv1 "deuxfleurs.fr/garage/proto/garage/cluster/v1"
)

// sick is a node that lacks chunks.
type sick struct {
	Node
	status chunk.NodeStatus
	gaps   chunk.Gaps
}

func (n *sick) Status(context.Context) (chunk.NodeStatus, error) { return n.status, nil }
func (n *sick) Gaps(context.Context) (*chunk.Gaps, error)        { return &n.gaps, nil }

// people is a directory.
type people struct{ away error }

func (p people) Check(context.Context) error { return p.away }

func (p people) FindPerson(_ context.Context, name string) (identity.Identity, error) {
	if p.away != nil {
		return identity.Identity{}, p.away
	}
	if name != "ann" {
		return identity.Identity{}, errors.Newf(errors.NotFound, "LDAP has no %q", name)
	}
	return identity.Identity{AccessKey: "ANN", Name: name, Principals: []string{identity.Person("ann"), identity.Group("family")}}, nil
}

func (p people) SignIn(_ context.Context, name, password, group string) (string, error) {
	if name != "ann" || password != "secret of ann" || group != "operators" {
		return "", errors.Newf(errors.Unauthenticated, "the name or the password is wrong")
	}
	return name, nil
}

func (p people) CheckMember(_ context.Context, name, group string) error {
	if p.away == nil && (name != "ann" || group != "operators") {
		return errors.Newf(errors.PermissionDenied, "%s is no member of %s", name, group)
	}
	return p.away
}

// served is a service that runs, and a client of its real gRPC server.
func served(t *testing.T, with func(*Deps)) (*Service, adminv1.AdminServiceClient) {
	t.Helper()
	store, err := memory.New(clock.System{}, clock.SystemRandom)
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	deps := Deps{Store: store, Folder: t.TempDir(), Identities: keys.New(store, clock.System{}, 0), Layouts: oneLayout(t), Node: unreachable,
		Clock: clock.System{}, Random: clock.SystemRandom, Logger: log}
	if with != nil {
		with(&deps)
	}
	s, err := New(Config{StatusTimeout: time.Minute}, deps)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	const token = "a token for tests"
	server, err := adminserver.New(adminserver.Config{}, adminserver.Deps{Listener: listener, Token: token, Logger: log, Registry: prometheus.NewRegistry()})
	require.NoError(t, err)
	s.Register(server.GRPC())
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { _ = server.Run(ctx) })
	work.Go(func() { _ = s.Run(ctx) })
	conn, err := adminserver.Dial(adminserver.DialConfig{Address: listener.Addr().String(), Token: token})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		cancel()
		work.Wait()
	})
	return s, adminv1.NewAdminServiceClient(conn)
}

// audited are the events of the audit log, oldest first.
func audited(t *testing.T, c adminv1.AdminServiceClient) []*adminv1.Event {
	t.Helper()
	answer, err := c.ListEvents(t.Context(), &adminv1.ListEventsRequest{Kinds: []adminv1.EventKind{adminv1.EventKind_EVENT_KIND_AUDIT}})
	require.NoError(t, err)
	all := answer.GetEvents()
	for i := range len(all) / 2 {
		all[i], all[len(all)-1-i] = all[len(all)-1-i], all[i]
	}
	return all
}

func TestEveryChangeIsInTheAuditLogBeforeItIsAnswered(t *testing.T) {
	s, c := served(t, nil)
	made, err := c.CreateKey(t.Context(), &adminv1.CreateKeyRequest{Name: "laptop"})
	require.NoError(t, err)
	_, err = c.ImportKey(t.Context(), &adminv1.ImportKeyRequest{Name: "old", AccessKey: "GKold", Secret: "very-secret-secret"})
	require.NoError(t, err)
	_, err = c.CreateBucket(t.Context(), &adminv1.CreateBucketRequest{Name: "No!"})
	require.Error(t, err)
	_, err = c.ListBuckets(t.Context(), &adminv1.ListBucketsRequest{})
	require.NoError(t, err)
	_, err = c.GetKey(t.Context(), &adminv1.GetKeyRequest{Key: "old"})
	require.NoError(t, err)
	_, err = c.GetKey(t.Context(), &adminv1.GetKeyRequest{Key: "old", ShowSecret: true})
	require.NoError(t, err)
	// The actor that anybody with a token claims is not believed at this port.
	claimed := metadata.AppendToOutgoingContext(t.Context(), actorKey, "person:boss", forwardedKey, uuid.NewString())
	_, err = c.CreateBucket(claimed, &adminv1.CreateBucketRequest{Name: "photos"})
	require.NoError(t, err)
	local := adminv1.NewAdminServiceClient(s.Local())
	_, err = local.DeleteBucket(t.Context(), &adminv1.DeleteBucketRequest{Name: "photos"})
	require.True(t, errors.Is(err, errors.Unauthenticated), "%v", err)
	_, err = local.DeleteBucket(WithActor(t.Context(), Actor{identity.Person("ann"), "192.0.2.7"}), &adminv1.DeleteBucketRequest{Name: "photos"})
	require.NoError(t, err)

	all := audited(t, c)
	var said []string
	for _, e := range all {
		a := e.GetAudit()
		said = append(said, a.GetActor()+" "+a.GetMethod())
		text, err := json.Marshal(e)
		require.NoError(t, err)
		require.NotContains(t, string(text), "very-secret")
		require.NotContains(t, string(text), made.GetKey().GetSecret())
		require.NotEmpty(t, e.GetId())
	}
	require.Equal(t, []string{"operator token CreateKey", "operator token ImportKey", "operator token CreateBucket", "operator token GetKey", "operator token CreateBucket", "person:ann DeleteBucket"}, said)
	require.Contains(t, all[1].GetAudit().GetArguments(), "GKold")
	require.Equal(t, made.GetKey().GetAccessKey(), all[0].GetDetails()["access_key"])
	require.True(t, strings.HasPrefix(all[0].GetAudit().GetFrom(), "127.0.0.1:"))
	require.Equal(t, "192.0.2.7", all[5].GetAudit().GetFrom())
	require.NotEmpty(t, all[2].GetAudit().GetError())
	require.Empty(t, all[4].GetAudit().GetError())
}

func TestEveryMethodIsKnownToReadOrIsAudited(t *testing.T) {
	changes := map[string]bool{}
	for _, m := range adminv1.AdminService_ServiceDesc.Methods {
		changes[m.MethodName] = changing(m.MethodName, requestOf(t, m.MethodName))
	}
	var all []string
	for name, is := range changes {
		if is {
			all = append(all, name)
		}
	}
	require.ElementsMatch(t, []string{"CreateKey", "ImportKey", "DeleteKey", "CreateBucket", "DeleteBucket", "OpenBucket", "AllowBucket", "DenyBucket", "AssignNode", "RemoveNode",
		"SetReplication", "ApplyLayout", "DropLayout", "StageLayout", "CommandNodes"}, all)
	require.True(t, changing("DeclareLost", &adminv1.DeclareLostRequest{Confirmed: true}))
	require.True(t, changing("GetKey", &adminv1.GetKeyRequest{ShowSecret: true}))
}

// requestOf is an empty request of a method.
func requestOf(t *testing.T, method string) proto.Message {
	t.Helper()
	m := adminv1.File_garage_admin_v1_admin_proto.Services().Get(0).Methods().ByName(protoreflect.Name(method))
	require.NotNil(t, m, method)
	kind, err := protoregistry.GlobalTypes.FindMessageByName(m.Input().FullName())
	require.NoError(t, err)
	return kind.New().Interface()
}

func TestAChangeThatIsSentOnIsNotedByWhoCarriesItOut(t *testing.T) {
	s, c := served(t, nil)
	handler := func(ctx context.Context, _ any) (any, error) {
		ctx.Value(callOf{}).(*call).sentTo = "another one"
		return &adminv1.CreateBucketResponse{}, nil
	}
	info := &grpc.UnaryServerInfo{FullMethod: "/garage.admin.v1.AdminService/CreateBucket"}
	_, err := s.audit(t.Context(), false, &adminv1.CreateBucketRequest{Name: "photos"}, info, handler)
	require.NoError(t, err)
	require.Empty(t, audited(t, c))
	_, err = s.audit(t.Context(), false, &adminv1.CreateBucketRequest{Name: "photos"}, info, func(ctx context.Context, r any) (any, error) {
		_, _ = handler(ctx, r)
		return nil, errors.Newf(errors.Unavailable, "no answer")
	})
	require.Error(t, err)
	all := audited(t, c)
	require.Len(t, all, 1, "whether it was carried out is not known")
	require.Equal(t, "another one", all[0].GetDetails()["sent_to"])
	// The other one believes who asked, because a rebalancer says it.
	incoming := metadata.NewIncomingContext(t.Context(), metadata.Pairs(actorKey, "person:ann", fromKey, "192.0.2.7", forwardedKey, "me"))
	require.Equal(t, Actor{Name: "person:ann", From: "192.0.2.7"}, actor(incoming, true))
	require.Equal(t, Actor{Name: tokenActor}, actor(incoming, false))
}

func TestEventsArePaged(t *testing.T) {
	s, c := served(t, nil)
	for range 5 {
		s.noteLayout("a test")
	}
	require.Eventually(t, func() bool {
		answer, err := c.ListEvents(t.Context(), &adminv1.ListEventsRequest{Kinds: []adminv1.EventKind{adminv1.EventKind_EVENT_KIND_LAYOUT}})
		return err == nil && len(answer.GetEvents()) == 5
	}, time.Minute, time.Millisecond)
	seen, cursor := map[string]bool{}, ""
	for pages := 0; pages == 0 || cursor != ""; pages++ {
		answer, err := c.ListEvents(t.Context(), &adminv1.ListEventsRequest{Cursor: cursor, Limit: 2, Kinds: []adminv1.EventKind{adminv1.EventKind_EVENT_KIND_LAYOUT}})
		require.NoError(t, err)
		for _, e := range answer.GetEvents() {
			require.False(t, seen[e.GetId()])
			seen[e.GetId()] = true
		}
		cursor = answer.GetNext()
		require.Less(t, pages, 4)
	}
	require.Len(t, seen, 5)
	_, err := c.ListEvents(t.Context(), &adminv1.ListEventsRequest{Cursor: "!"})
	require.True(t, errors.Is(err, errors.Invalid), "%v", err)
	_, err = c.ListEvents(t.Context(), &adminv1.ListEventsRequest{Kinds: []adminv1.EventKind{77}})
	require.True(t, errors.Is(err, errors.Invalid), "%v", err)
}

func TestANodeThatIsAwayFromTheBeginningIsAnEvent(t *testing.T) {
	_, c := served(t, nil)
	require.Eventually(t, func() bool {
		answer, err := c.ListEvents(t.Context(), &adminv1.ListEventsRequest{Subject: someNode.String(), Least: adminv1.Severity_SEVERITY_ERROR})
		return err == nil && len(answer.GetEvents()) == 1 && strings.Contains(answer.GetEvents()[0].GetText(), "is missing")
	}, time.Minute, 10*time.Millisecond)
}

func TestAccessIsExplained(t *testing.T) {
	_, c := served(t, func(d *Deps) { d.Directory = people{} })
	_, err := c.CreateBucket(t.Context(), &adminv1.CreateBucketRequest{Name: "photos"})
	require.NoError(t, err)
	_, err = c.AllowBucket(t.Context(), &adminv1.AllowBucketRequest{Bucket: "photos", Group: "family", Rights: &adminv1.Rights{Read: true}})
	require.NoError(t, err)
	made, err := c.CreateKey(t.Context(), &adminv1.CreateKeyRequest{Name: "laptop"})
	require.NoError(t, err)
	explain := func(r *adminv1.ExplainAccessRequest) *adminv1.ExplainAccessResponse {
		t.Helper()
		r.Bucket = "photos"
		answer, err := c.ExplainAccess(t.Context(), r)
		require.NoError(t, err)
		return answer
	}
	answer := explain(&adminv1.ExplainAccessRequest{Person: "ann", Action: "GET", Object: "cat.jpg"})
	require.True(t, answer.GetAllowed())
	require.Equal(t, "GetObject", answer.GetOperation())
	require.Equal(t, []string{"family"}, answer.GetGroups())
	require.True(t, answer.GetHas().GetRead())
	answer = explain(&adminv1.ExplainAccessRequest{Person: "ann", Action: "s3:PutObject", Object: "cat.jpg"})
	require.False(t, answer.GetAllowed())
	last := answer.GetReasons()[len(answer.GetReasons())-1]
	require.Equal(t, adminv1.Verdict_VERDICT_REFUSES, last.GetVerdict())
	for _, key := range []string{"laptop", made.GetKey().GetAccessKey()} {
		answer = explain(&adminv1.ExplainAccessRequest{Key: key, Action: "GetObject"})
		require.False(t, answer.GetAllowed())
		require.Equal(t, made.GetKey().GetAccessKey(), answer.GetWho())
	}
	require.False(t, explain(&adminv1.ExplainAccessRequest{Key: "nobody", Action: "GET"}).GetAllowed())
	require.False(t, explain(&adminv1.ExplainAccessRequest{Action: "GET"}).GetAllowed())
	_, err = c.ExplainAccess(t.Context(), &adminv1.ExplainAccessRequest{Key: "laptop", Action: "Fly", Bucket: "photos"})
	require.True(t, errors.Is(err, errors.Invalid), "%v", err)
}

func TestWithoutLDAPNothingIsKnownOfPeople(t *testing.T) {
	_, c := served(t, nil)
	answer, err := c.ExplainAccess(t.Context(), &adminv1.ExplainAccessRequest{Person: "ann", Action: "GET", Bucket: "photos"})
	require.NoError(t, err)
	require.False(t, answer.GetLdap())
	require.Contains(t, answer.GetUnknown(), "identity.ldap")
	_, c = served(t, func(d *Deps) { d.Directory = people{errors.Newf(errors.Unavailable, "LDAP is away")} })
	answer, err = c.ExplainAccess(t.Context(), &adminv1.ExplainAccessRequest{Person: "ann", Action: "GET", Bucket: "photos"})
	require.NoError(t, err)
	require.False(t, answer.GetAllowed())
	require.Contains(t, answer.GetUnknown(), "away")
}

func TestUsageIsRemembered(t *testing.T) {
	s, c := served(t, nil)
	_, err := c.CreateBucket(t.Context(), &adminv1.CreateBucketRequest{Name: "photos"})
	require.NoError(t, err)
	require.NoError(t, s.sampleNow(t.Context()))
	for _, bucket := range []string{"", "photos"} {
		answer, err := c.BucketUsageHistory(t.Context(), &adminv1.BucketUsageHistoryRequest{Bucket: bucket})
		require.NoError(t, err)
		require.Len(t, answer.GetPoints(), 1, "the sample of the beginning is of the same hour")
		require.Zero(t, answer.GetPoints()[0].GetObjects())
	}
	_, err = c.BucketUsageHistory(t.Context(), &adminv1.BucketUsageHistoryRequest{Bucket: "other"})
	require.True(t, errors.IsEntity(err, errors.NotFound, errors.Bucket), "%v", err)
}

func TestPartitionsAreTold(t *testing.T) {
	node := &sick{status: chunk.NodeStatus{ID: someNode, Wanted: 1}}
	node.gaps.Wanted.Add(7)
	_, c := served(t, func(d *Deps) { d.Node = func(chunk.NodeID) (Node, error) { return node, nil } })
	answer, err := c.GetPartitions(t.Context(), &adminv1.GetPartitionsRequest{})
	require.NoError(t, err)
	require.Len(t, answer.GetPartitions(), chunk.Partitions)
	require.Equal(t, adminv1.PartitionState_PARTITION_STATE_COMPLETE, answer.GetPartitions()[6].GetState())
	require.Equal(t, adminv1.PartitionState_PARTITION_STATE_UNDER_REPLICATED, answer.GetPartitions()[7].GetState())
	require.Equal(t, []uint32{1, chunk.Partitions - 1}, answer.GetByCopies())
	require.Equal(t, []uint32{0, chunk.Partitions - 1, 0, 1, 0}, answer.GetByState())
	counts, err := c.GetPartitions(t.Context(), &adminv1.GetPartitionsRequest{CountsOnly: true})
	require.NoError(t, err)
	require.Empty(t, counts.GetPartitions())
	require.Equal(t, answer.GetByCopies(), counts.GetByCopies())
	require.Equal(t, answer.GetByState(), counts.GetByState())
	again, err := c.GetPartitions(t.Context(), &adminv1.GetPartitionsRequest{Revision: answer.GetRevision()})
	require.NoError(t, err)
	require.Empty(t, again.GetPartitions())
	require.Equal(t, answer.GetRevision(), again.GetRevision())
}

func TestTheCopiesOfANodeThatCameBackEmptyAreNotThereYet(t *testing.T) {
	other := uuid.UUID{15: 9}
	nodes := map[chunk.NodeID]*sick{someNode: {status: chunk.NodeStatus{ID: someNode, Uncompared: true}}, other: {status: chunk.NodeStatus{ID: other, Chunks: 7}}}
	_, c := served(t, func(d *Deps) {
		d.Layouts = inForce(t, []layout.Node{*desiredNode, {ID: other, Zone: "office", Tokens: desiredNode.Tokens}})
		d.Node = func(id chunk.NodeID) (Node, error) { return nodes[id], nil }
	})
	status, err := c.GetStatus(t.Context(), &adminv1.GetStatusRequest{})
	require.NoError(t, err)
	owns := uint32(0)
	for _, n := range status.GetNodes() {
		require.Equal(t, n.GetId() == someNode.String(), n.GetUncompared(), n.GetId())
		if n.GetUncompared() {
			owns = n.GetPartitions()
		}
	}
	require.Positive(t, owns)
	answer, err := c.GetPartitions(t.Context(), &adminv1.GetPartitionsRequest{})
	require.NoError(t, err)
	require.Equal(t, []uint32{owns, chunk.Partitions - owns}, answer.GetByCopies(), "none of what the empty node owns, of which there is one copy, counts as there")
}

func TestWhereNoOtherNodeHoldsAnythingNothingIsLacking(t *testing.T) {
	node := func() *adminv1.Node { return &adminv1.Node{Alive: true, Partitions: 1, Uncompared: true} }
	empty, full, unplaced, former, away := node(), node(), node(), node(), node()
	full.Chunks, away.Alive = 1, false
	unplaced.Partitions, unplaced.State = 0, adminv1.NodeState_NODE_STATE_NEW
	former.Partitions, former.State = 0, adminv1.NodeState_NODE_STATE_EMPTY // it may own what a layout in force still has it own
	all := []*adminv1.Node{empty, unplaced, former, full, away}
	clearUncompared(all)
	for i, want := range []bool{true, false, true, true, false} {
		require.Equal(t, want, all[i].Uncompared, i)
	}
	begun := []*adminv1.Node{node(), node(), node()}
	clearUncompared(begun)
	for _, n := range begun {
		require.False(t, n.Uncompared, "a cluster that has just begun")
	}
	left := []*adminv1.Node{node(), {Partitions: 1}}
	clearUncompared(left)
	require.True(t, left[0].Uncompared, "the other is away and has told nothing: nobody knows what it holds")
	told := []*adminv1.Node{node(), {Partitions: 1, Capacity: 1}}
	clearUncompared(told)
	require.False(t, told[0].Uncompared, "the other held nothing before it went away")
}

func TestTrafficIsWhatGatewaysCount(t *testing.T) {
	counted := &clusterv1.Counters{Requests: 100, Errors: 3, Refused: 4}
	_, c := served(t, func(d *Deps) {
		d.Peers = []Peer{
			{Name: "s3-gateway", Address: "192.0.2.1:3900", Check: func(context.Context) error { return nil },
				Counters: func(context.Context) (*clusterv1.GetCountersResponse, error) {
					return &clusterv1.GetCountersResponse{Counters: counted}, nil
				}},
			{Name: "s3-gateway", Address: "192.0.2.2:3900", Check: func(context.Context) error { return nil },
				Counters: func(context.Context) (*clusterv1.GetCountersResponse, error) {
					return nil, errors.Newf(errors.Unavailable, "it is away")
				}},
		}
	})
	answer, err := c.GetTraffic(t.Context(), &adminv1.GetTrafficRequest{})
	require.NoError(t, err)
	require.Len(t, answer.GetServices(), 2)
	require.Equal(t, int64(100), answer.GetCounters().GetRequests())
	require.Equal(t, int64(3), answer.GetCounters().GetErrors())
	require.Contains(t, answer.GetServices()[1].GetProblem(), "away")
}

func TestRatesAreThoseBetweenTwoSamplesOfOneProcess(t *testing.T) {
	var c counts
	m := &adminv1.ServiceTraffic{}
	c.put("a", "one", &adminv1.Counters{Requests: 10}, noon)
	require.Equal(t, noon, c.fill("a", m))
	require.Nil(t, m.GetRates())
	c.put("a", "one", &adminv1.Counters{Requests: 30, Errors: 5}, noon.Add(10*time.Second))
	c.put("a", "one", &adminv1.Counters{Requests: 99}, noon.Add(10*time.Second+apart-1))
	c.fill("a", m)
	require.Equal(t, int64(30), m.GetCounters().GetRequests(), "another one asks at the same time")
	require.InDelta(t, 2, m.GetRates().GetRequests(), 1e-9)
	require.InDelta(t, 0.5, m.GetRates().GetErrors(), 1e-9)
	c.put("a", "two", &adminv1.Counters{Requests: 1}, noon.Add(20*time.Second))
	m = &adminv1.ServiceTraffic{}
	c.fill("a", m)
	require.Nil(t, m.GetRates(), "it was started again")
	require.True(t, c.fill("b", m).IsZero())
}

func TestGoingBackNeedsConsul(t *testing.T) {
	_, c := served(t, nil)
	_, err := c.StageLayout(t.Context(), &adminv1.StageLayoutRequest{Number: 1})
	require.ErrorContains(t, err, "consul.enabled")
	require.Len(t, audited(t, c), 1)
}

// noMetadata is a metadata service that does not answer.
type noMetadata struct {
	meta.Store
	asked atomic.Int64
}

func (m *noMetadata) Info(context.Context) (meta.Info, error) {
	m.asked.Add(1)
	return meta.Info{}, errors.Newf(errors.Unavailable, "connection refused")
}

func TestStatusShowsTheRestWhereNoMetadataServiceAnswers(t *testing.T) {
	away := &noMetadata{}
	s, c := served(t, func(d *Deps) {
		away.Store, d.Store = d.Store, away
		d.Node = func(chunk.NodeID) (Node, error) {
			return &sick{status: chunk.NodeStatus{ID: someNode, Chunks: 12}}, nil
		}
	})
	answer, err := c.GetStatus(t.Context(), &adminv1.GetStatusRequest{})
	require.NoError(t, err)
	require.Len(t, answer.GetNodes(), 1)
	require.EqualValues(t, 12, answer.GetNodes()[0].GetChunks())
	require.EqualValues(t, 1, answer.GetLayout())
	require.Len(t, answer.GetUnreached(), 1)
	require.Equal(t, adminv1.StatusPart_STATUS_PART_METADATA, answer.GetUnreached()[0].GetPart())
	require.Contains(t, answer.GetUnreached()[0].GetProblem(), "is one running, and does its database answer? (")
	require.Equal(t, answer.GetUnreached()[0].GetProblem(), answer.GetProblem())

	before := away.asked.Load()
	answer, err = c.GetStatus(t.Context(), &adminv1.GetStatusRequest{NodesOnly: true})
	require.NoError(t, err)
	require.Len(t, answer.GetNodes(), 1)
	require.Empty(t, answer.GetUnreached())
	require.Equal(t, before, away.asked.Load(), "who asks for nodes does not wait for the metadata")

	registry := prometheus.NewRegistry()
	registry.MustRegister(&collector{s})
	said, err := registry.Gather()
	require.NoError(t, err)
	for _, m := range said {
		require.NotEqual(t, "garage_cluster_objects", m.GetName(), "what is not known is not 0")
	}
}
