package main

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// usageJSON is how much a bucket held over time, oldest first.
type usageJSON struct {
	Bucket   string           `json:"bucket"` // empty: all together
	Points   []usagePointJSON `json:"points"`
	Problems []string         `json:"problems"`
}

// usagePointJSON is how much there was at a moment. What is stored is known of all buckets together only.
type usagePointJSON struct {
	Time        string `json:"time"`
	Objects     int64  `json:"objects"`
	Bytes       int64  `json:"bytes"`
	ChunkBytes  int64  `json:"chunk_bytes"`  // all copies of chunks
	StoredBytes int64  `json:"stored_bytes"` // what they take on disks
	SavedBytes  int64  `json:"saved_bytes"`  // by chunks that objects share
}

func bucketUsage(c *connection) *cobra.Command {
	var since string
	cmd := &cobra.Command{
		Use: "usage [BUCKET] [--since TIME]", Short: "Tell how much a bucket, or all together, held over time", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := parseTime(since, time.Now())
			if err != nil {
				return wrong("--since: %v", err)
			}
			request := &adminv1.BucketUsageHistoryRequest{Since: timestamppb.New(at)}
			if len(args) == 1 {
				request.Bucket = args[0]
			}
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				answer, err := admin.BucketUsageHistory(ctx, request)
				if err != nil {
					return err
				}
				v := &usageJSON{Bucket: request.GetBucket(), Points: []usagePointJSON{}, Problems: append([]string{}, answer.GetProblems()...)}
				for _, p := range answer.GetPoints() {
					v.Points = append(v.Points, usagePointJSON{timeText(p.GetTime()), p.GetObjects(), p.GetBytes(), p.GetChunkBytes(), p.GetStoredBytes(), p.GetSavedBytes()})
				}
				return c.show(cmd, v, v.write)
			})
		},
	}
	cmd.Flags().StringVar(&since, "since", "7d", "from this `TIME` on, such as 12h, 30d or 2026-05-01: there is a point for each hour of 30 days, and before for each day")
	return cmd
}

func (v *usageJSON) write(w io.Writer) {
	var most int64
	for _, p := range v.Points {
		most = max(most, p.Bytes)
	}
	if v.Bucket == "" {
		row(w, "TIME", "OBJECTS", "BYTES", "", "STORED", "SAVED")
	} else {
		row(w, "TIME", "OBJECTS", "BYTES", "")
	}
	for _, p := range v.Points {
		if v.Bucket == "" {
			row(w, p.Time, p.Objects, bytesText(p.Bytes), bar(p.Bytes, most), bytesText(p.StoredBytes), bytesText(p.SavedBytes))
			continue
		}
		row(w, p.Time, p.Objects, bytesText(p.Bytes), bar(p.Bytes, most))
	}
	if len(v.Points) == 0 {
		row(w, "nothing was noted in this time yet: the first point comes within an hour")
	}
	for _, p := range v.Problems {
		row(w, "not asked: "+p)
	}
}
