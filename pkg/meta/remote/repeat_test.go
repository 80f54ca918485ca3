package remote

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/rpc"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

// fake is a metadata service whose answers a test decides.
type fake struct {
	metadatav1.UnimplementedMetadataServiceServer
	listener net.Listener
	server   *grpc.Server

	mu     sync.Mutex
	calls  int
	answer func(ctx context.Context, call int) error // of each call, by its number from 1
	bucket []byte                                    // ID of the bucket that exists

	commits []*metadatav1.Commit // of the writes that came
}

func serve(t *testing.T, address string, answer func(ctx context.Context, call int) error) *fake {
	t.Helper()
	return serveBucket(t, address, nil, answer)
}

func serveBucket(t *testing.T, address string, bucket []byte, answer func(ctx context.Context, call int) error) *fake {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	f := &fake{listener: listener, server: grpc.NewServer(rpc.ServerOptions(slog.New(slog.DiscardHandler), nil)...), answer: answer, bucket: bucket}
	metadatav1.RegisterMetadataServiceServer(f.server, f)
	served := make(chan error, 1)
	go func() { served <- f.server.Serve(listener) }()
	t.Cleanup(func() {
		f.server.Stop()
		if err := <-served; err != nil {
			require.ErrorIs(t, err, grpc.ErrServerStopped)
		}
	})
	return f
}

func (f *fake) next(ctx context.Context) error {
	f.mu.Lock()
	f.calls++
	n, answer := f.calls, f.answer
	f.mu.Unlock()
	return answer(ctx, n)
}

// become changes how the service answers.
func (f *fake) become(answer func(context.Context, int) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (f *fake) GetKey(ctx context.Context, _ *metadatav1.GetKeyRequest) (*metadatav1.GetKeyResponse, error) {
	return &metadatav1.GetKeyResponse{Key: &metadatav1.Key{}}, f.next(ctx)
}

func (f *fake) came(commits ...*metadatav1.Commit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commits = append(f.commits, commits...)
}

func (f *fake) PutObject(ctx context.Context, r *metadatav1.PutObjectRequest) (*metadatav1.PutObjectResponse, error) {
	f.came(r.GetCommit())
	return &metadatav1.PutObjectResponse{Version: &metadatav1.Version{}}, f.next(ctx)
}

func (f *fake) DeleteObjects(ctx context.Context, r *metadatav1.DeleteObjectsRequest) (*metadatav1.DeleteObjectsResponse, error) {
	results := make([]*metadatav1.DeleteResult, len(r.GetDeletes()))
	for i, d := range r.GetDeletes() {
		f.came(d.GetCommit())
		results[i] = &metadatav1.DeleteResult{}
	}
	return &metadatav1.DeleteObjectsResponse{Results: results}, f.next(ctx)
}

func (f *fake) BeginUpload(ctx context.Context, _ *metadatav1.BeginUploadRequest) (*metadatav1.BeginUploadResponse, error) {
	return &metadatav1.BeginUploadResponse{}, f.next(ctx)
}

func (f *fake) CreateBucket(ctx context.Context, _ *metadatav1.CreateBucketRequest) (*metadatav1.CreateBucketResponse, error) {
	return &metadatav1.CreateBucketResponse{}, f.next(ctx)
}

func (f *fake) GetBucket(_ context.Context, r *metadatav1.GetBucketRequest) (*metadatav1.GetBucketResponse, error) {
	return &metadatav1.GetBucketResponse{Bucket: &metadatav1.Bucket{Id: f.bucket, Name: r.GetName()}}, nil
}

func (f *fake) DeleteBucket(ctx context.Context, _ *metadatav1.DeleteBucketRequest) (*metadatav1.DeleteBucketResponse, error) {
	return &metadatav1.DeleteBucketResponse{}, f.next(ctx)
}

// connect makes a store over services that take turns, beginning with any.
func connect(t *testing.T, services ...*fake) *Store {
	t.Helper()
	builder := manual.NewBuilderWithScheme("test")
	state := resolver.State{}
	for _, f := range services {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: f.listener.Addr().String()})
	}
	builder.InitialState(state)
	conn, err := rpc.Dial("test:///", nil, nil, append(DialOptions(clock.System{}), grpc.WithResolvers(builder))...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return New(conn)
}

func well(context.Context, int) error { return nil }

// absent is a service that is not there.
func absent(t *testing.T) *fake {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return &fake{listener: listener}
}

// dying makes a service that goes at the first call it gets, which may have happened.
func dying(t *testing.T) *fake {
	f := serve(t, "127.0.0.1:0", nil)
	f.answer = func(ctx context.Context, _ int) error {
		go f.server.Stop()
		<-ctx.Done()
		return nil
	}
	return f
}

func TestReadsAreRepeatedOnAnotherInstance(t *testing.T) {
	for range 4 { // whichever has the first turn
		good := serve(t, "127.0.0.1:0", well)
		store := connect(t, dying(t), good)
		for range 4 {
			_, err := store.Key(context.Background(), "GK")
			require.NoError(t, err)
		}
		require.GreaterOrEqual(t, good.count(), 3)
	}
}

func TestACommitThatHasAnUploadIsRepeated(t *testing.T) {
	for range 4 {
		store := connect(t, dying(t), serve(t, "127.0.0.1:0", well))
		for range 3 {
			_, err := store.PutObject(context.Background(), meta.Put{Key: "k", Upload: uuid.New()})
			require.NoError(t, err)
		}
	}
}

func TestAWriteWithoutUploadIsRepeatedByItsName(t *testing.T) {
	ctx := context.Background()
	for range 4 {
		bad, good := dying(t), serve(t, "127.0.0.1:0", well)
		store := connect(t, bad, good)
		for range 3 {
			_, err := store.PutObject(ctx, meta.Put{Key: "k", Inline: []byte("x")})
			require.NoError(t, err)
			results, err := store.DeleteObjects(ctx, uuid.New(), []meta.Delete{{Key: "k"}, {Key: "l"}})
			require.NoError(t, err)
			require.Len(t, results, 2)
		}
		first := make(map[string]bool)
		for _, c := range bad.commits {
			require.False(t, c.GetAgain())
			first[string(c.GetId())] = true
		}
		names := make(map[string]bool)
		for _, c := range good.commits {
			names[string(c.GetId())] = true
			require.Equal(t, first[string(c.GetId())], c.GetAgain(), "what may have happened is looked for, and nothing else")
		}
		require.Len(t, names, 9, "each write has its own")
	}
}

func TestWhatReachedNobodyIsRepeatedUntilSomebodyIsThere(t *testing.T) {
	gone := absent(t)
	address := gone.listener.Addr().String()
	store := connect(t, gone)
	result := make(chan error, 1)
	go func() {
		_, err := store.PutObject(context.Background(), meta.Put{Key: "k", Inline: []byte("x")})
		result <- err
	}()
	again := serve(t, address, well)
	require.NoError(t, <-result)
	require.Equal(t, 1, again.count())
}

func TestTheCallersTimeIsKept(t *testing.T) {
	store := connect(t, absent(t))
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := store.Key(ctx, "GK")
	require.Error(t, err)
	require.Contains(t, []errors.Kind{errors.Unavailable, errors.Deadline}, errors.KindOf(err))
}

func TestAnInstanceThatCannotServeIsLeftOnce(t *testing.T) {
	ctx := context.Background()
	refuse := func(context.Context, int) error { return errors.Newf(errors.Unavailable, "the database is away") }
	bad, good := serve(t, "127.0.0.1:0", well), serve(t, "127.0.0.1:0", well)
	store := connect(t, bad, good)
	for bad.count() == 0 || good.count() == 0 { // until both are connected
		_, err := store.Key(ctx, "GK")
		require.NoError(t, err)
	}
	bad.become(refuse)
	for range 4 {
		_, err := store.Key(ctx, "GK")
		require.NoError(t, err)
	}
	worse := serve(t, "127.0.0.1:0", refuse)
	_, err := connect(t, worse).Key(ctx, "GK")
	require.ErrorContains(t, err, "the database is away")
	require.Equal(t, 2, worse.count())
}

// interrupted makes a store over a service whose first call has no answer, as if it had happened, and which is back at
// once; then it answers err.
func interrupted(t *testing.T, err error) *Store {
	first := serve(t, "127.0.0.1:0", nil)
	address := first.listener.Addr().String()
	first.answer = func(ctx context.Context, _ int) error {
		go func() {
			first.server.Stop()
			serve(t, address, func(context.Context, int) error { return err })
		}()
		<-ctx.Done()
		return nil
	}
	return connect(t, first)
}

func TestABucketThatExistsAfterARepeatIsTheCallersIfItHasItsID(t *testing.T) {
	exists := errors.E(errors.AlreadyExists, errors.Bucket, "b", "it exists")
	for _, mine := range []bool{true, false} {
		id, other := uuid.New(), uuid.New()
		first := serve(t, "127.0.0.1:0", nil)
		address := first.listener.Addr().String()
		first.answer = func(ctx context.Context, _ int) error {
			go func() {
				first.server.Stop()
				bucket := other[:]
				if mine {
					bucket = id[:]
				}
				serveBucket(t, address, bucket, func(context.Context, int) error { return exists })
			}()
			<-ctx.Done()
			return nil
		}
		err := connect(t, first).CreateBucket(context.Background(), meta.Bucket{ID: id, Name: "b"})
		require.Equal(t, mine, err == nil, "%v", err)
		require.Equal(t, !mine, errors.Is(err, errors.AlreadyExists))
	}
}

func TestWhatARepeatedCallFindsIsUnderstood(t *testing.T) {
	ctx := context.Background()
	exists := errors.E(errors.AlreadyExists, errors.Upload, "", "it exists")
	store := interrupted(t, exists)
	require.NoError(t, store.BeginUpload(ctx, meta.Upload{UploadRef: meta.UploadRef{ID: uuid.New()}}), "its ID is nobody else's")

	store = interrupted(t, errors.E(errors.NotFound, errors.Bucket, "b", "no such bucket"))
	require.NoError(t, store.DeleteBucket(ctx, uuid.New()), "it has gone")

	store = interrupted(t, errors.E(errors.NotFound, errors.Upload, "", "no such upload"))
	_, err := store.PutObject(ctx, meta.Put{Key: "k", Upload: uuid.New()})
	require.True(t, errors.Is(err, errors.Unavailable), "committed and replaced, or never: %v", err)

	// Without an interruption these answers mean what they say.
	plain := connect(t, serve(t, "127.0.0.1:0", func(context.Context, int) error { return exists }))
	require.True(t, errors.Is(plain.BeginUpload(ctx, meta.Upload{UploadRef: meta.UploadRef{ID: uuid.New()}}), errors.AlreadyExists))
}
