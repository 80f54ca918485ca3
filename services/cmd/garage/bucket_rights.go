package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// rightsChange is the command line of allow and deny.
type rightsChange struct {
	bucket string
	key    string
	rights adminv1.Rights
}

func (r *rightsChange) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.key, "key", "", "access key, or the name of a key")
	f.BoolVar(&r.rights.Read, "read", false, "read and list objects")
	f.BoolVar(&r.rights.Write, "write", false, "create, overwrite and delete objects")
	f.BoolVar(&r.rights.Owner, "owner", false, "change the bucket's settings and delete it")
	if err := cmd.MarkFlagRequired("key"); err != nil {
		panic(err) // the flag was defined above
	}
	cmd.MarkFlagsOneRequired("read", "write", "owner")
}

func bucketAllow(c *connection) *cobra.Command {
	return rightsCommand(c, "allow", "Give a key rights on a bucket, beside those it has",
		func(ctx context.Context, admin adminv1.AdminServiceClient, r *rightsChange) (*adminv1.Grant, error) {
			answer, err := admin.AllowBucket(ctx, &adminv1.AllowBucketRequest{Bucket: r.bucket, Key: r.key, Rights: &r.rights})
			return answer.GetGrant(), err
		})
}

func bucketDeny(c *connection) *cobra.Command {
	return rightsCommand(c, "deny", "Take rights on a bucket away from a key",
		func(ctx context.Context, admin adminv1.AdminServiceClient, r *rightsChange) (*adminv1.Grant, error) {
			answer, err := admin.DenyBucket(ctx, &adminv1.DenyBucketRequest{Bucket: r.bucket, Key: r.key, Rights: &r.rights})
			return answer.GetGrant(), err
		})
}

func rightsCommand(c *connection, verb, short string, call func(context.Context, adminv1.AdminServiceClient, *rightsChange) (*adminv1.Grant, error)) *cobra.Command {
	change := &rightsChange{}
	cmd := &cobra.Command{
		Use: verb + " BUCKET --key KEY [--read] [--write] [--owner]", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			change.bucket = args[0]
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				g, err := call(ctx, admin, change)
				if err != nil {
					return err
				}
				return c.show(cmd, newGrantJSON(g), func(w io.Writer) {
					row(w, "the key "+g.GetAccessKey()+" ("+g.GetName()+") now has on "+change.bucket+": "+rightsText(g.GetRights()))
				})
			})
		},
	}
	change.addFlags(cmd)
	return cmd
}
