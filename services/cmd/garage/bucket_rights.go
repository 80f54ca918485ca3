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
	person string
	group  string
	rights adminv1.Rights
}

func (r *rightsChange) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.key, "key", "", "access key, or the name of a key")
	f.StringVar(&r.person, "person", "", "name of a person or machine in LDAP")
	f.StringVar(&r.group, "group", "", "name of a group in LDAP")
	f.BoolVar(&r.rights.Read, "read", false, "read and list objects")
	f.BoolVar(&r.rights.Write, "write", false, "create, overwrite and delete objects")
	f.BoolVar(&r.rights.Owner, "owner", false, "change the bucket's settings and delete it")
	cmd.MarkFlagsOneRequired("key", "person", "group")
	cmd.MarkFlagsMutuallyExclusive("key", "person", "group")
	cmd.MarkFlagsOneRequired("read", "write", "owner")
}

func bucketAllow(c *connection) *cobra.Command {
	return rightsCommand(c, "allow", "Give a key, person or group rights on a bucket, beside those it has",
		func(ctx context.Context, admin adminv1.AdminServiceClient, r *rightsChange) (*adminv1.Grant, error) {
			answer, err := admin.AllowBucket(ctx, &adminv1.AllowBucketRequest{Bucket: r.bucket, Key: r.key, Person: r.person, Group: r.group, Rights: &r.rights})
			return answer.GetGrant(), err
		})
}

func bucketDeny(c *connection) *cobra.Command {
	return rightsCommand(c, "deny", "Take rights on a bucket away from a key, person or group",
		func(ctx context.Context, admin adminv1.AdminServiceClient, r *rightsChange) (*adminv1.Grant, error) {
			answer, err := admin.DenyBucket(ctx, &adminv1.DenyBucketRequest{Bucket: r.bucket, Key: r.key, Person: r.person, Group: r.group, Rights: &r.rights})
			return answer.GetGrant(), err
		})
}

func rightsCommand(c *connection, verb, short string, call func(context.Context, adminv1.AdminServiceClient, *rightsChange) (*adminv1.Grant, error)) *cobra.Command {
	change := &rightsChange{}
	cmd := &cobra.Command{
		Use: verb + " BUCKET {--key KEY | --person NAME | --group NAME} [--read] [--write] [--owner]", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			change.bucket = args[0]
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				g, err := call(ctx, admin, change)
				if err != nil {
					return err
				}
				return c.show(cmd, newGrantJSON(g), func(w io.Writer) {
					who := granteeText(g)
					if g.GetName() != "" {
						who += " (" + g.GetName() + ")"
					}
					row(w, "the "+who+" now has on "+change.bucket+": "+rightsText(g.GetRights()))
				})
			})
		},
	}
	change.addFlags(cmd)
	return cmd
}
