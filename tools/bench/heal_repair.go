package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

// scrub has all nodes read what they hold.
func (h *healing) scrub(ctx context.Context) error {
	members, err := h.ids(ctx, adminv1.NodeState_NODE_STATE_HEALTHY)
	if err != nil {
		return err
	}
	inLayout := make(map[string]bool)
	for _, ids := range members {
		for _, id := range ids {
			inLayout[id] = true
		}
	}
	spentBy, err := spent(h.nodes)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := h.command(ctx, chunknodev1.Task_TASK_SCRUB); err != nil {
		return err
	}
	var read int64
	err = h.wait(ctx, "all nodes have read everything", func(s *adminv1.GetStatusResponse) error {
		read = 0
		return tasks(s, chunknodev1.Task_TASK_SCRUB, func(node string, t *chunknodev1.TaskStatus) error {
			if !inLayout[node] {
				return nil
			}
			if t.GetEnded() == nil || t.GetEnded().AsTime().Before(begin) {
				return fmt.Errorf("node %s has not ended: %v", node, t)
			}
			read += t.GetBytes()
			return nil
		})
	})
	if err != nil {
		return err
	}
	took, err := spentBy()
	if err != nil {
		return err
	}
	perGiB := took.Seconds() / gib(read)
	fmt.Printf("scrub: %d MiB read, %.2f CPUs/GiB (%.1f plain copies)\n", read/mib, perGiB, perGiB/h.plain)
	return nil
}

// repair empties the disk of a node, and has all nodes mend that as fast as they can.
func (h *healing) repair(ctx context.Context) error {
	last := len(h.nodes) - 1
	target, sources, emptied := h.nodes[last], h.nodes[:last], h.nodes[last:]
	before, err := held(emptied)
	if err != nil {
		return err
	}
	if err := errors.Join(target.Kill(), os.RemoveAll(filepath.Join(target.Data, "chunks")), target.Start()); err != nil {
		return err
	}
	if err := h.Ready(ctx, target); err != nil {
		return err
	}
	fromSources, err := spent(sources)
	if err != nil {
		return err
	}
	fromTarget, err := spent(emptied)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := h.command(ctx, chunknodev1.Task_TASK_REPAIR); err != nil {
		return err
	}
	err = h.wait(ctx, "the emptied node has everything", func(*adminv1.GetStatusResponse) error {
		now, err := held(emptied)
		if err == nil && now < before {
			err = fmt.Errorf("it holds %d MiB of %d", now/mib, before/mib)
		}
		return err
	})
	if err != nil {
		return err
	}
	took := time.Since(begin)
	source, err := fromSources()
	if err != nil {
		return err
	}
	mended, err := fromTarget()
	if err != nil {
		return err
	}
	from, to := source.Seconds()/gib(before), mended.Seconds()/gib(before)
	fmt.Printf("repair of an empty disk: %d MiB in %v\n", before/mib, took.Round(time.Millisecond))
	fmt.Printf("  CPUs/GiB: sources %.2f (%.1f plain copies), target %.2f (%.1f)\n", from, from/h.plain, to, to/h.plain)
	return nil
}
