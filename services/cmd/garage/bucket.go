package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// bucketJSON is a bucket as --json shows it.
type bucketJSON struct {
	Name    string      `json:"name"`
	ID      string      `json:"id"`
	Created string      `json:"created"`
	Grants  []grantJSON `json:"grants"`
	Closed  bool        `json:"closed"` // to all clients
}

// bucketInfoJSON is a bucket with what it holds.
type bucketInfoJSON struct {
	bucketJSON
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
	Uploads int64 `json:"uploads"`
}

// openedJSON is a bucket that was opened. What is in doubt may still change by itself.
type openedJSON struct {
	bucketJSON
	InDoubt     int64    `json:"in_doubt"`
	KeysInDoubt []string `json:"keys_in_doubt"`
	// Problem is why notes of the migration are left, and what to do.
	Problem string `json:"problem,omitempty"`
}

type grantJSON struct {
	AccessKey string `json:"access_key,omitempty"`
	Name      string `json:"name,omitempty"`
	Person    string `json:"person,omitempty"`
	Group     string `json:"group,omitempty"`
	rightsJSON
}

func newBucketJSON(b *adminv1.Bucket) bucketJSON {
	v := bucketJSON{Name: b.GetName(), ID: b.GetId(), Created: timeText(b.GetCreated()), Grants: []grantJSON{}, Closed: b.GetClosed()}
	for _, g := range b.GetGrants() {
		v.Grants = append(v.Grants, newGrantJSON(g))
	}
	return v
}

func newGrantJSON(g *adminv1.Grant) grantJSON {
	return grantJSON{g.GetAccessKey(), g.GetName(), g.GetPerson(), g.GetGroup(), newRightsJSON(g.GetRights())}
}

// granteeText says who has a grant, without the name of a key.
func granteeText(g *adminv1.Grant) string {
	switch {
	case g.GetPerson() != "":
		return "person " + g.GetPerson()
	case g.GetGroup() != "":
		return "group " + g.GetGroup()
	}
	return "key " + g.GetAccessKey()
}

func newBucket() *cobra.Command {
	c := &connection{}
	cmd := &cobra.Command{Use: "bucket", Short: "Buckets and who may use them", Args: onlyCommands, RunE: showHelp}
	c.addFlags(cmd)
	cmd.AddCommand(bucketCreate(c), bucketList(c), bucketInfo(c), bucketDelete(c), bucketOpen(c), bucketAllow(c), bucketDeny(c), bucketUsage(c))
	return cmd
}

func bucketCreate(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "create BUCKET", Short: "Make a bucket, on which nobody has rights yet", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				answer, err := admin.CreateBucket(ctx, &adminv1.CreateBucketRequest{Name: args[0]})
				if err != nil {
					return err
				}
				return c.show(cmd, newBucketJSON(answer.GetBucket()), func(w io.Writer) {
					row(w, "made the bucket "+args[0]+"; give a key rights on it with: garage bucket allow "+args[0]+" --read --write --key NAME")
				})
			})
		},
	}
}

func bucketList(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the buckets", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				buckets := []bucketJSON{}
				request := &adminv1.ListBucketsRequest{}
				for {
					page, err := admin.ListBuckets(ctx, request)
					if err != nil {
						return err
					}
					for _, b := range page.GetBuckets() {
						buckets = append(buckets, newBucketJSON(b))
						request.After = b.GetName()
					}
					if !page.GetMore() || len(page.GetBuckets()) == 0 {
						break
					}
				}
				return c.show(cmd, buckets, func(w io.Writer) {
					row(w, "NAME", "CREATED", "KEYS WITH RIGHTS")
					for _, b := range buckets {
						row(w, b.Name, b.Created, len(b.Grants))
					}
				})
			})
		},
	}
}

func bucketInfo(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "info BUCKET", Short: "Tell what a bucket holds and who may use it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				answer, err := admin.GetBucket(ctx, &adminv1.GetBucketRequest{Name: args[0]})
				if err != nil {
					return err
				}
				b := answer.GetBucket()
				v := bucketInfoJSON{newBucketJSON(b), b.GetObjects(), b.GetBytes(), b.GetUploads()}
				return c.show(cmd, v, func(w io.Writer) {
					row(w, "name", v.Name)
					row(w, "id", v.ID)
					row(w, "created", v.Created)
					row(w, "objects", v.Objects)
					row(w, "size", bytesText(v.Bytes))
					row(w, "uploads in progress", v.Uploads)
					if v.Closed {
						row(w, "closed", "to all clients: a migration fills it, and opens it at its end; see garage bucket open --help")
					}
					for _, g := range b.GetGrants() {
						row(w, granteeText(g), rightsText(g.GetRights()), g.GetName())
					}
				})
			})
		},
	}
}

func bucketDelete(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "delete BUCKET", Short: "Delete an empty bucket", Args: cobra.ExactArgs(1),
		Long: `Delete an empty bucket.

A bucket .migration-… with the notes of a migration can be deleted as it is, when no migration is at work and no unfinished copy is left.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				if _, err := admin.DeleteBucket(ctx, &adminv1.DeleteBucketRequest{Name: args[0]}); err != nil {
					return err
				}
				return c.show(cmd, deletedJSON{args[0]}, func(w io.Writer) { row(w, "deleted the bucket "+args[0]) })
			})
		},
	}
}

func bucketOpen(c *connection) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "open BUCKET [--yes]", Short: "Open an unfinished copy of a bucket, whose standalone is lost", Args: cobra.ExactArgs(1),
		Long: `Open an unfinished copy of a bucket, whose standalone is lost.

A bucket that garage migrate fills is closed to all clients until the standalone has left. Where the standalone does not come back, what was
copied until then can be used: open the bucket and give rights on it. What was written, changed or deleted at the standalone since the
last pass over the bucket is not in it, and the migration cannot go on.

It is refused while a migration is at work or removes the copies, and for five minutes after one was killed. If it is interrupted, give the same command
again: until then no migration goes on. With the last copy of a migration its notes are removed too.

Objects that it names as in doubt are those of which a write of the migration failed in the database: what is read of them, or that they are missing, may
still change by itself, until somebody writes or deletes them. Look at each, and upload it again or delete it.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				question := "The copy of " + printable(args[0]) + " may lack what was written at the standalone last, and the migration cannot go on after it. Open it? Type yes: "
				if err := agreed(cmd, question); err != nil {
					return err
				}
			}
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				answer, err := admin.OpenBucket(ctx, &adminv1.OpenBucketRequest{Name: args[0]})
				if err != nil {
					return err
				}
				v := openedJSON{newBucketJSON(answer.GetBucket()), answer.GetInDoubt(), []string{}, answer.GetProblem()}
				for _, key := range answer.GetKeysInDoubt() {
					v.KeysInDoubt = append(v.KeysInDoubt, string(key))
				}
				return c.show(cmd, v, func(w io.Writer) {
					row(w, "opened the bucket "+args[0]+": give rights on it with garage bucket allow")
					if v.InDoubt > 0 {
						row(w, fmt.Sprintf("%d objects are in doubt: a write of the migration failed, and they may change by themselves until they are written again or deleted", v.InDoubt))
					}
					for _, key := range v.KeysInDoubt {
						row(w, "in doubt", key)
					}
					if more := v.InDoubt - int64(len(v.KeysInDoubt)); more > 0 {
						row(w, "in doubt", fmt.Sprintf("and %d more", more))
					}
					if v.Problem != "" {
						row(w, v.Problem)
					}
				})
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
