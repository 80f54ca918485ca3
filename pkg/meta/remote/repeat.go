package remote

import (
	"bytes"
	"context"
	"math/rand/v2"
	"path"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
	"deuxfleurs.fr/garage/pkg/rpc"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

const (
	// patience is how long a call is repeated; what makes it fail usually passes within a second (another
	// instance, or the same one started again).
	patience = 5 * time.Second
	// readTimeout is how long a first try to read takes at most: an instance that hangs is left for another.
	readTimeout = 5 * time.Second

	backoffMin = 10 * time.Millisecond
	backoffMax = 250 * time.Millisecond
)

// effect is what a call that has happened does when it is made again.
type effect uint8

const (
	// once: it must not happen twice. It is repeated only if it has surely not reached a server.
	once effect = iota
	// read changes nothing.
	read
	// same: the contract of meta.Store says that repeating it changes nothing more.
	same
	// found: as same, but it answers AlreadyExists, which then is success: the ID is the caller's alone.
	found
	// removed: as same, but it answers NotFound, which then is success: what was to go has gone.
	removed
	// unsure: as same, unless others change what it is about at the same time; then it answers NotFound,
	// and nobody knows whether it happened.
	unsure
)

// effects are by the names of methods; those that are not here are once.
var effects = map[string]effect{
	"GetInfo": read, "GetBucket": read, "ListBuckets": read, "GetUsage": read, "GetObject": read, "ListChunks": read,
	"ListObjects": read, "GetUpload": read, "ListParts": read, "ListUploads": read, "GetKey": read, "ListKeys": read, "FindAttempts": read,

	"BeginPart": same, "AddChunks": same, "RecordProgress": same, "CompleteUpload": same, "DropGarbage": same,
	"BeginUpload": found, "CreateBucket": found,
	"PutObject": same, "DeleteObjects": same,
	"DeleteBucket": removed, "DeleteKey": removed,
	"FinishPart": unsure, "AbortUpload": unsure,
}

// effectOf is that of a call: the commit of an upload is known again by the upload, as long as it is the newest of its key.
func effectOf(method string, req any) effect {
	if put, ok := req.(*metadatav1.PutObjectRequest); ok && len(put.GetUpload()) > 0 {
		return unsure
	}
	return effects[path.Base(method)]
}

// commits are the writes of a call that a store knows again by a name that they are given here.
func commits(req any) []**metadatav1.Commit {
	switch r := req.(type) {
	case *metadatav1.PutObjectRequest:
		if len(r.GetUpload()) == 0 {
			return []**metadatav1.Commit{&r.Commit}
		}
	case *metadatav1.DeleteObjectsRequest:
		named := make([]**metadatav1.Commit, len(r.GetDeletes()))
		for i, d := range r.GetDeletes() {
			named[i] = &d.Commit
		}
		return named
	}
	return nil
}

// name gives writes that have none a name, by which they are known when they are repeated.
func (r repeater) name(writes []**metadatav1.Commit) error {
	for _, c := range writes {
		if len((*c).GetId()) > 0 {
			continue
		}
		id, err := meta.NewCommitID(r.clock.Now(), r.ids)
		if err != nil {
			return err
		}
		*c = &metadatav1.Commit{Id: id[:]}
	}
	return nil
}

// uploadOf is the upload that a call is about, or nil.
func uploadOf(req any) []byte {
	switch r := req.(type) {
	case interface{ GetRef() *metadatav1.UploadRef }:
		return r.GetRef().GetId()
	case *metadatav1.BeginUploadRequest:
		return r.GetUpload().GetRef().GetId()
	case *metadatav1.PutObjectRequest:
		return r.GetUpload()
	}
	return nil
}

// DialOptions make a connection repeat calls that failed on their way, on another instance where there is one, as
// far as that is safe: calls that have surely not reached a server always, others by what they do.
func DialOptions(c clock.Clock) []grpc.DialOption {
	return []grpc.DialOption{grpc.WithChainUnaryInterceptor(repeater{clock: c, random: rand.Float64, ids: clock.SystemRandom}.call)}
}

type repeater struct {
	clock  clock.Clock
	random func() float64 // 0 to 1
	ids    clock.Random   // for names of writes
}

func (r repeater) call(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	e := effectOf(method, req)
	if upload := uploadOf(req); upload != nil {
		// Who has begun an upload knows that it is open, and another would have to look.
		ctx = rpc.WithAffinity(ctx, upload)
	}
	writes := commits(req)
	if err := r.name(writes); err != nil {
		return err
	}
	deadline := r.clock.Now().Add(patience)
	refused, sent := 0, false
	for failures := 0; ; failures++ {
		var to peer.Peer
		err := r.try(ctx, e == read && failures == 0, func(ctx context.Context) error {
			return invoker(ctx, method, req, reply, cc, append(opts[:len(opts):len(opts)], grpc.Peer(&to))...)
		})
		if sent { // an earlier try may have happened
			err = settled(ctx, e, method, req, cc, err)
		}
		if err == nil || ctx.Err() != nil || !passing(err, e) {
			return err
		}
		// No peer: no connection was found for the call.
		if sent = sent || to.Addr != nil; sent {
			if e == once {
				return err
			}
			for _, c := range writes {
				(*c).Again = true
			}
		}
		if answered(err) {
			// A server that cannot serve now: another one may. More would only add to what troubles them.
			if refused++; refused > 1 || e == once {
				return err
			}
			ctx = rpc.WithoutAffinity(ctx)
		}
		wait := backoff(failures, r.random())
		if r.clock.Now().Add(wait).After(deadline) || clock.Sleep(ctx, r.clock, wait) != nil {
			return err
		}
	}
}

// try makes the call once, in a shorter time if it may hang.
func (r repeater) try(ctx context.Context, bounded bool, call func(context.Context) error) error {
	if !bounded {
		return call(ctx)
	}
	short, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return call(short)
}

// passing tells whether an error is one that may be otherwise in a moment or elsewhere.
func passing(err error, e effect) bool {
	switch status.Code(err) {
	case codes.Unavailable:
		return true
	case codes.DeadlineExceeded:
		return e == read // the first try was given less time than the caller has
	}
	return false
}

// answered tells whether an error is the answer of a server rather than the lack of one.
func answered(err error) bool { return len(status.Convert(err).Details()) > 0 }

// settled is what the answer to a repeated call means, knowing that an earlier try may have happened.
func settled(ctx context.Context, e effect, method string, req any, cc *grpc.ClientConn, err error) error {
	code := status.Code(err)
	switch {
	case e == found && code == codes.AlreadyExists:
		if create, ok := req.(*metadatav1.CreateBucketRequest); ok {
			return created(ctx, create, cc, err)
		}
		return nil
	case e == removed && code == codes.NotFound:
		return nil
	case e == unsure && code == codes.NotFound:
		return errors.ToStatus(errors.Newf(errors.Unavailable, "%s was interrupted and repeated, and now it is not known whether it happened: %s", path.Base(method), status.Convert(err).Message()))
	}
	return err
}

// created tells whether the bucket that exists is the one that the request made.
func created(ctx context.Context, req *metadatav1.CreateBucketRequest, cc *grpc.ClientConn, exists error) error {
	r, err := metadatav1.NewMetadataServiceClient(cc).GetBucket(ctx, &metadatav1.GetBucketRequest{Name: req.GetBucket().GetName()})
	if err != nil {
		return errors.ToStatus(err)
	}
	if !bytes.Equal(r.GetBucket().GetId(), req.GetBucket().GetId()) {
		return exists
	}
	return nil
}

// backoff is the wait after that many failures, by random of 0 to 1 between a half and all of it.
func backoff(failures int, random float64) time.Duration {
	d := backoffMax
	if failures < 5 {
		d = min(backoffMin<<failures, backoffMax)
	}
	return d/2 + time.Duration(random*float64(d/2))
}
