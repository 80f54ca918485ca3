package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// keyJSON is a key as --json shows it.
type keyJSON struct {
	AccessKey     string         `json:"access_key"`
	SecretKey     string         `json:"secret_key,omitempty"`
	Name          string         `json:"name"`
	CreateBuckets bool           `json:"create_buckets"`
	Created       string         `json:"created"`
	Buckets       []keyGrantJSON `json:"buckets,omitempty"`
}

type keyGrantJSON struct {
	Bucket string `json:"bucket"`
	rightsJSON
}

type rightsJSON struct {
	Read  bool `json:"read"`
	Write bool `json:"write"`
	Owner bool `json:"owner"`
}

func newRightsJSON(r *adminv1.Rights) rightsJSON {
	return rightsJSON{Read: r.GetRead(), Write: r.GetWrite(), Owner: r.GetOwner()}
}

func newKeyJSON(k *adminv1.Key) keyJSON {
	return keyJSON{AccessKey: k.GetAccessKey(), SecretKey: k.GetSecret(), Name: k.GetName(),
		CreateBuckets: k.GetCreateBuckets(), Created: timeText(k.GetCreated())}
}

func newKey() *cobra.Command {
	c := &connection{}
	cmd := &cobra.Command{Use: "key", Short: "Access keys: who may sign requests", Args: onlyCommands, RunE: showHelp}
	c.addFlags(cmd)
	cmd.AddCommand(keyCreate(c), keyImport(c), keyList(c), keyInfo(c), keyDelete(c))
	return cmd
}

func keyCreate(c *connection) *cobra.Command {
	request := &adminv1.CreateKeyRequest{}
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make an access key and its secret", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Name = args[0]
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				answer, err := admin.CreateKey(ctx, request)
				if err != nil {
					return err
				}
				return c.showKey(cmd, answer.GetKey(), nil)
			})
		},
	}
	cmd.Flags().BoolVar(&request.CreateBuckets, "create-buckets", false, "the key may create buckets")
	return cmd
}

func keyImport(c *connection) *cobra.Command {
	request := &adminv1.ImportKeyRequest{}
	cmd := &cobra.Command{
		Use: "import NAME ACCESS SECRET", Short: "Add an access key that was made elsewhere", Args: cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Name, request.AccessKey, request.Secret = args[0], args[1], args[2]
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				answer, err := admin.ImportKey(ctx, request)
				if err != nil {
					return err
				}
				return c.showKey(cmd, answer.GetKey(), nil)
			})
		},
	}
	cmd.Flags().BoolVar(&request.CreateBuckets, "create-buckets", false, "the key may create buckets")
	return cmd
}

func keyList(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the access keys", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				keys := []keyJSON{}
				request := &adminv1.ListKeysRequest{}
				for {
					page, err := admin.ListKeys(ctx, request)
					if err != nil {
						return err
					}
					for _, k := range page.GetKeys() {
						keys = append(keys, newKeyJSON(k))
						request.After = k.GetAccessKey()
					}
					if !page.GetMore() || len(page.GetKeys()) == 0 {
						break
					}
				}
				return c.show(cmd, keys, func(w io.Writer) {
					row(w, "ACCESS KEY", "NAME", "MAY CREATE BUCKETS", "CREATED")
					for _, k := range keys {
						row(w, k.AccessKey, k.Name, yesNo(k.CreateBuckets), k.Created)
					}
				})
			})
		},
	}
}

func keyInfo(c *connection) *cobra.Command {
	request := &adminv1.GetKeyRequest{}
	cmd := &cobra.Command{
		Use: "info KEY", Short: "Tell about a key, named by its access key or its name", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Key = args[0]
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				answer, err := admin.GetKey(ctx, request)
				if err != nil {
					return err
				}
				return c.showKey(cmd, answer.GetKey(), answer.GetBuckets())
			})
		},
	}
	cmd.Flags().BoolVar(&request.ShowSecret, "show-secret", false, "show the secret too")
	return cmd
}

func keyDelete(c *connection) *cobra.Command {
	return &cobra.Command{
		Use: "delete KEY", Short: "Delete a key, named by its access key or its name; its buckets stay", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, admin adminv1.AdminServiceClient) error {
				if _, err := admin.DeleteKey(ctx, &adminv1.DeleteKeyRequest{Key: args[0]}); err != nil {
					return err
				}
				return c.show(cmd, deletedJSON{args[0]}, func(w io.Writer) { row(w, "deleted the key "+args[0]) })
			})
		},
	}
}

type deletedJSON struct {
	Deleted string `json:"deleted"`
}

func (c *connection) showKey(cmd *cobra.Command, k *adminv1.Key, buckets []*adminv1.BucketGrant) error {
	v := newKeyJSON(k)
	for _, g := range buckets {
		v.Buckets = append(v.Buckets, keyGrantJSON{g.GetBucket(), newRightsJSON(g.GetRights())})
	}
	return c.show(cmd, v, func(w io.Writer) {
		row(w, "name", v.Name)
		row(w, "access key", v.AccessKey)
		if v.SecretKey != "" {
			row(w, "secret key", v.SecretKey)
		}
		row(w, "may create buckets", yesNo(v.CreateBuckets))
		row(w, "created", v.Created)
		for _, g := range buckets {
			row(w, "bucket "+g.GetBucket(), rightsText(g.GetRights()))
		}
	})
}
