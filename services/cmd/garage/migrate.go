package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"deuxfleurs.fr/garage/pkg/adminserver"
	gerrors "deuxfleurs.fr/garage/pkg/errors"
	metadatav1 "deuxfleurs.fr/garage/proto/garage/metadata/v1"
)

const (
	// sourceTokenEnv is the standalone's admin token, where it runs on another machine than this command.
	sourceTokenEnv = "GARAGE_SOURCE_TOKEN"
	migrateRate    = "40MB"
)

// migrationJSON is what --json shows of a migration.
type migrationJSON struct {
	Plan   *migrationPlanJSON   `json:"plan,omitempty"`
	Copies []migrationCopyJSON  `json:"copies,omitempty"` // with --abandon, those that it removes
	Result *migrationResultJSON `json:"result,omitempty"`
}

type migrationCopyJSON struct {
	Bucket  string `json:"bucket"`
	Objects int64  `json:"objects"`
	Bytes   int64  `json:"bytes"`
	Uploads int64  `json:"uploads"`
}

type migrationPlanJSON struct {
	Buckets   int64    `json:"buckets"`
	Keys      int64    `json:"keys"`
	Objects   int64    `json:"objects"`
	Bytes     int64    `json:"bytes"`
	Uploads   int64    `json:"uploads"`
	Copied    int64    `json:"copied"` // bytes
	Free      int64    `json:"free"`
	Needed    int64    `json:"needed"`
	Obstacles []string `json:"obstacles"`
}

type migrationResultJSON struct {
	Moved     bool     `json:"moved"`
	Abandoned bool     `json:"abandoned"`
	Objects   int64    `json:"objects"` // copied by this call
	Bytes     int64    `json:"bytes"`
	Deleted   int64    `json:"deleted"`
	Passes    int64    `json:"passes"`
	Frozen    float64  `json:"frozen"` // seconds
	Damaged   []string `json:"damaged"`
}

func newMigrate() *cobra.Command {
	c, r := &connection{}, &metadatav1.MigrateRequest{}
	var from, rate string
	var holdWrites time.Duration
	var yes bool
	cmd := &cobra.Command{
		Use: "migrate --from-data FOLDER|--from ADDRESS --endpoint URL|--abandon", Short: "Take what a standalone Garage has into this cluster, while clients use it", Args: cobra.NoArgs,
		Long: `Take what a standalone Garage has into this cluster, while clients use it.

This speaks to the administration port of a metadata service of the cluster (--data, --admin), which reads from that of the
standalone (--from). Buckets, objects with their times, ETags, checksums, parts and metadata, multipart uploads under way, access keys and
rights are copied. Then, for a moment, the standalone answers writes with 503 SlowDown, the rest is copied, all is compared, and from
then on it forwards all requests to --endpoint, so that clients need not change at once. It keeps its data.

A migration that was interrupted is begun again with the same command, and goes on where it was: until the cut-over the standalone
has everything, and no client can use the copy. --dry-run tells what would be moved and what is in the way.

Stop the standalone only when this command has said "moved", and clients use the address of the cluster. Nothing that the standalone
acknowledged is left behind: it takes no write between the last comparison and the end. It leaves once, to one cluster: a migration to another is refused then.

--abandon gives a migration up that has not come to the cut-over: it tells which unfinished copies are in the cluster, asks, and removes them. The
standalone must answer, as it has what was copied; when it has left, or clients may have used a copy, nothing is removed. A new migration
into the same cluster can begin two days later, when all traces of the copies are gone.`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if r.Source == "" && from == "" {
				return wrong("say which standalone: its data folder on this machine with --from-data, or its administration address with --from and its token in %s", sourceTokenEnv)
			}
			if r.SourceToken = os.Getenv(sourceTokenEnv); r.SourceToken == "" {
				path := filepath.Join(from, adminserver.TokenFile)
				if from == "" {
					return wrong("the admin token of the standalone is missing: give its data folder with --from-data, or the token in %s", sourceTokenEnv)
				}
				if r.SourceToken, err = adminserver.ReadToken(path); err != nil {
					return fmt.Errorf("the admin token of the standalone: %w", err)
				}
			}
			if r.Source = firstOf(r.Source, savedAddress(from)); r.Source == "" {
				return wrong("%s does not say where the standalone listens: is it running? Or give the address with --from", from)
			}
			if r.Rate, err = parseRate(rate); err != nil {
				return err
			}
			r.Rate = max(r.Rate, 0) // none is no limit
			switch {
			case yes && !r.Abandon:
				return wrong("--yes is for --abandon")
			case r.Endpoint == "" && !r.Abandon:
				return wrong("say where the cluster serves S3, with --endpoint")
			}
			if r.HoldWrites = holdWrites.Milliseconds(); r.HoldWrites <= 0 {
				return wrong("--hold-writes must be a time such as 10m, not %v", holdWrites)
			}
			return c.connected(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
				if r.Abandon {
					return c.abandon(ctx, cmd, conn, r, yes)
				}
				return c.migrate(ctx, cmd, conn, r)
			})
		},
	}
	c.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&from, "from-data", "", "data folder of the standalone, if it is on this machine: its token and address are in it")
	f.StringVar(&r.Source, "from", "", "address of the standalone's administration port, as the metadata service reaches it; its token is in "+sourceTokenEnv+" or --from-data")
	f.StringVar(&r.SourceCaFile, "from-ca", "", "file of the authorities that the standalone's certificate comes from, on the machine of the metadata service")
	f.StringVar(&r.Endpoint, "endpoint", "", "URL of the cluster's S3, as the standalone reaches it: it forwards requests there")
	f.StringVar(&rate, "rate", migrateRate, "how much is read from the standalone, in bytes a second such as 30MB, or none for no limit; the cut-over has none")
	f.BoolVar(&r.DryRun, "dry-run", false, "only tell what would be moved and what is in the way")
	f.BoolVar(&r.CopyOnly, "copy-only", false, "copy until little is left, without the cut-over: run the command again when it suits")
	f.DurationVar(&holdWrites, "hold-writes", 10*time.Minute, "how long the standalone may answer writes with 503 for the cut-over: a comparison takes about two minutes for a million objects")
	f.BoolVar(&r.LeaveDamaged, "leave-damaged", false, "leave out objects that are damaged at the standalone")
	f.BoolVar(&r.Abandon, "abandon", false, "remove the unfinished copies of the standalone's buckets from the cluster, instead of copying; with --dry-run only tell which")
	f.BoolVar(&yes, "yes", false, "with --abandon, do not ask")
	for _, other := range []string{"copy-only", "leave-damaged", "hold-writes", "rate", "endpoint"} {
		cmd.MarkFlagsMutuallyExclusive("abandon", other)
	}
	return cmd
}

// migrate does a migration and shows what came of it.
func (c *connection) migrate(ctx context.Context, cmd *cobra.Command, conn *grpc.ClientConn, r *metadatav1.MigrateRequest) error {
	all, err := c.follow(ctx, cmd, conn, r)
	if err != nil {
		return err
	}
	switch {
	case c.json:
		err = c.show(cmd, all, nil)
	case all.Result != nil:
		err = c.show(cmd, all, all.Result.write)
	}
	if err == nil && r.GetDryRun() && len(all.Plan.Obstacles) > 0 {
		err = fmt.Errorf("%d things are in the way of the migration", len(all.Plan.Obstacles))
	}
	return err
}

// abandon shows the unfinished copies, asks, and has them removed.
func (c *connection) abandon(ctx context.Context, cmd *cobra.Command, conn *grpc.ClientConn, r *metadatav1.MigrateRequest, yes bool) error {
	dryRun := r.DryRun
	r.DryRun = true
	all, err := c.follow(ctx, cmd, conn, r)
	if err != nil {
		return err
	}
	if !dryRun && !yes && len(all.Copies) > 0 {
		var text strings.Builder
		w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
		all.writeCopies(w)
		if err := w.Flush(); err != nil {
			return err
		}
		text.WriteString("These unfinished copies are removed from the cluster. The standalone keeps all that it has, and clients go on there. Remove them? Type yes: ")
		if err := agreed(cmd, text.String()); err != nil {
			return err
		}
	}
	if !dryRun {
		r.DryRun = false
		if all, err = c.follow(ctx, cmd, conn, r); err != nil {
			return err
		}
	}
	return c.show(cmd, all, func(w io.Writer) {
		all.writeCopies(w)
		if all.Result != nil {
			row(w, "removed", fmt.Sprintf("%d buckets, %d objects", len(all.Copies), all.Result.Deleted))
		}
	})
}

func (m *migrationJSON) writeCopies(w io.Writer) {
	if len(m.Copies) == 0 {
		row(w, "copies", "none")
	}
	for _, b := range m.Copies {
		row(w, "copy", fmt.Sprintf("%s: %d objects, %s, %d uploads under way", b.Bucket, b.Objects, bytesText(b.Bytes), b.Uploads))
	}
}

// follow has a migration done and shows how far it is.
func (c *connection) follow(ctx context.Context, cmd *cobra.Command, conn *grpc.ClientConn, r *metadatav1.MigrateRequest) (all *migrationJSON, err error) {
	stream, err := metadatav1.NewMigrationServiceClient(conn).Migrate(ctx, r)
	if err != nil {
		return nil, err
	}
	all = &migrationJSON{}
	shown := newProgress(cmd.ErrOrStderr())
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, interrupted(err, r, all)
		}
		if p := m.GetPlan(); p != nil {
			all.Plan = &migrationPlanJSON{Buckets: p.GetBuckets(), Keys: p.GetKeys(), Objects: p.GetObjects(), Bytes: p.GetBytes(), Uploads: p.GetUploads(),
				Copied: p.GetCopied(), Free: p.GetFree(), Needed: p.GetNeeded(), Obstacles: append([]string{}, p.GetObstacles()...)}
			if !c.json {
				if err := c.show(cmd, all.Plan, all.Plan.write); err != nil {
					return nil, err
				}
			}
		}
		if p := m.GetProgress(); p != nil {
			if err := shown.draw([]string{migrationLine(p)}, time.Now(), false); err != nil {
				return nil, err
			}
		}
		for _, b := range m.GetCopies().GetCopies() {
			all.Copies = append(all.Copies, migrationCopyJSON{b.GetBucket(), b.GetObjects(), b.GetBytes(), b.GetUploads()})
		}
		if n := m.GetNote(); n != "" {
			shown.drawn = 0
			fmt.Fprintln(cmd.ErrOrStderr(), printable(n))
		}
		if d := m.GetResult(); d != nil {
			all.Result = &migrationResultJSON{Moved: d.GetMoved(), Abandoned: d.GetAbandoned(), Objects: d.GetObjects(), Bytes: d.GetBytes(), Deleted: d.GetDeleted(), Passes: d.GetPasses(),
				Frozen: float64(d.GetFrozen()) / 1000, Damaged: []string{}}
			for _, name := range d.GetDamaged() {
				all.Result.Damaged = append(all.Result.Damaged, string(name))
			}
		}
	}
}

// brokenOff is the error of what has begun and was interrupted.
type brokenOff struct{ error }

func (b brokenOff) Unwrap() error { return b.error }

// interrupted says what to do when the metadata service that was at work is gone, or the command was stopped.
func interrupted(err error, r *metadatav1.MigrateRequest, told *migrationJSON) error {
	switch {
	case r.GetDryRun() || gerrors.Answered(err):
	case told.Plan != nil:
		return brokenOff{fmt.Errorf("the migration was broken off (%w): run the same command again, it goes on where this one was, and do not stop the standalone before it says \"moved\"", err)}
	case len(told.Copies) > 0:
		return brokenOff{fmt.Errorf("the removal of the copies was broken off (%w): run the same command again, it removes what is left", err)}
	}
	return err
}

func migrationLine(p *metadatav1.MigrationProgress) string {
	what := fmt.Sprintf("pass %d", p.GetPass())
	if p.GetFrozen() {
		what += " (writes held back)"
	}
	text := fmt.Sprintf("%s  %s %s of %s compared, %d objects and %s copied, %s/s", what, bar(p.GetSeenBytes(), p.GetTotalBytes()),
		bytesText(p.GetSeenBytes()), bytesText(p.GetTotalBytes()), p.GetObjects(), bytesText(p.GetBytes()), bytesText(p.GetRate()))
	if p.GetLeft() > 0 {
		text += ", about " + durationText(time.Duration(p.GetLeft())*time.Millisecond) + " left"
	}
	return text
}

func (p *migrationPlanJSON) write(w io.Writer) {
	row(w, "to move", fmt.Sprintf("%d buckets, %d keys, %d objects, %s, %d uploads under way", p.Buckets, p.Keys, p.Objects, bytesText(p.Bytes), p.Uploads))
	row(w, "copied", bytesText(p.Copied))
	row(w, "room", fmt.Sprintf("%s needed, %s free", bytesText(p.Needed), bytesText(p.Free)))
	for _, o := range p.Obstacles {
		row(w, "in the way", o)
	}
}

func (r *migrationResultJSON) write(w io.Writer) {
	if r.Moved {
		row(w, "moved", fmt.Sprintf("yes; writes were held back for %.1f s", r.Frozen))
	} else {
		row(w, "moved", "no, only copied: run the command again without --copy-only for the cut-over")
	}
	row(w, "copied", fmt.Sprintf("%d objects, %s from the standalone, in %d passes; %d deleted", r.Objects, bytesText(r.Bytes), r.Passes, r.Deleted))
	for _, name := range r.Damaged {
		row(w, "left out", name)
	}
}
