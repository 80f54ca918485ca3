package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"deuxfleurs.fr/garage/pkg/buffer"
	"deuxfleurs.fr/garage/pkg/chunk"
	"deuxfleurs.fr/garage/pkg/clock"
	"deuxfleurs.fr/garage/pkg/datafolder"
	chunknode "deuxfleurs.fr/garage/services/chunk-node"
	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/httpjson"
)

const (
	// settle is how long a chunk-node is left alone before its memory is read.
	settle = 10 * time.Second
	// startLimit is how long one may take to start.
	startLimit = 5 * time.Minute
	// fillers put chunks side by side.
	fillers = 64
)

// measureChunks says what a number of chunks costs a chunk-node: memory, and the time until it serves after it was killed and nothing of
// its disk is in the page cache.
func measureChunks(ctx context.Context, dir string, count, size int) (err error) {
	d, err := deploy.Start(ctx, deploy.Options{Kind: deploy.Nodes, Dir: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	for _, other := range d.ChunkNodes()[1:] { // they would fetch what the first is given
		if err := other.Kill(); err != nil {
			return err
		}
	}
	node := d.ChunkNodes()[0]
	empty, err := restarted(ctx, node)
	if err != nil {
		return err
	}
	if err := node.Kill(); err != nil {
		return err
	}
	began := time.Now()
	if err := fill(ctx, node, count, size); err != nil {
		return err
	}
	fmt.Printf("%d chunks of %d bytes were stored in %v without fsync\n", count, size, time.Since(began).Round(time.Second))
	full, err := restarted(ctx, node)
	if err != nil {
		return err
	}
	fmt.Printf("resident memory of the chunk-node, with an index cache of %v: %d MiB empty, %d MiB with them (%+d)\n",
		chunknode.DefaultConfig().IndexCache, empty/mib, full/mib, (full-empty)/mib)
	if err := node.Kill(); err != nil {
		return err
	}
	if err := dropCaches(); err != nil {
		return err
	}
	began = time.Now()
	if err := start(ctx, node); err != nil {
		return err
	}
	fmt.Printf("after kill -9, with nothing in the page cache, it serves in %v\n", time.Since(began).Round(time.Millisecond))
	return nil
}

// restarted starts a node anew and returns the bytes of memory it has when it has come to rest.
func restarted(ctx context.Context, node *deploy.Process) (int64, error) {
	if err := node.Kill(); err != nil {
		return 0, err
	}
	if err := start(ctx, node); err != nil {
		return 0, err
	}
	if err := clock.Sleep(ctx, clock.System{}, settle); err != nil {
		return 0, err
	}
	u, err := node.Usage()
	return u.Resident, err
}

// start starts a node and returns when it serves.
func start(ctx context.Context, node *deploy.Process) error {
	if err := node.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for httpjson.Call(ctx, http.MethodGet, "http://"+node.Admin+"/healthz", nil, nil, nil) != nil {
		if err := clock.Sleep(ctx, clock.System{}, 5*time.Millisecond); err != nil {
			return fmt.Errorf("%s does not serve within %v: %w", node.Name, startLimit, err)
		}
	}
	return nil
}

// fill stores chunks that differ in the folder of a node that does not run, each with a reference.
func fill(ctx context.Context, node *deploy.Process, count, size int) (err error) {
	folder, err := datafolder.Open(node.Data, datafolder.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	c := chunknode.DefaultConfig()
	c.Fsync = false
	s, err := chunknode.New(c, chunknode.Deps{Folder: node.Data, NodeID: folder.Info().NodeID, ClusterID: folder.Info().ClusterID, Version: "bench",
		Clock: clock.System{}, Random: clock.SystemRandom, Pool: buffer.NewPool(64<<20, clock.System{}), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range fillers {
		g.Go(func() error {
			for {
				i := next.Add(1)
				if i > int64(count) || ctx.Err() != nil {
					return ctx.Err()
				}
				if i%(int64(count)/10+1) == 0 {
					fmt.Printf("%d of %d chunks are stored\n", i, count)
				}
				body := make([]byte, size)
				binary.BigEndian.PutUint64(body, uint64(i))
				data := buffer.FromBytes(body)
				outcome, err := s.Node().Put(ctx, chunk.HashOf(data), data, chunk.Ref{Attempt: uuid.New()})
				if err == nil && outcome != chunk.Stored {
					err = fmt.Errorf("a chunk was answered %v", outcome)
				}
				if err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}
