package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"deuxfleurs.fr/garage/pkg/adminserver"
	gerrors "deuxfleurs.fr/garage/pkg/errors"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

const (
	defaultData  = "var/garage"
	defaultAdmin = "127.0.0.1:3903"

	callTimeout = 30 * time.Second
)

// connection is how a command reaches the server, and how it shows the answer.
type connection struct {
	admin string
	data  string
	ca    string
	json  bool
	// compact writes an answer in JSON on one line, where several follow each other.
	compact bool
}

// addFlags gives a command with subcommands the flags of all that speak to a server.
func (c *connection) addFlags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&c.admin, "admin", "", "address of the server's admin API (environment: GARAGE_ADMIN; default: the one of the server on the data folder, or "+defaultAdmin+")")
	f.StringVar(&c.data, "data", "", "data folder of a server on this machine, which holds the admin token (environment: GARAGE_DATA; default "+defaultData+")")
	f.StringVar(&c.ca, "admin-ca", "", "PEM file of the authorities that the server's certificate comes from (environment: GARAGE_ADMIN_CA)")
	f.BoolVar(&c.json, "json", false, "write the answer as JSON")
}

// takeFlags takes the flags of a command that addFlags has given them.
func (c *connection) takeFlags(cmd *cobra.Command) {
	for name, value := range map[string]*string{"admin": &c.admin, "data": &c.data, "admin-ca": &c.ca} {
		if f := cmd.Flags().Lookup(name); f != nil {
			*value = f.Value.String()
		}
	}
}

// with calls the server.
func (c *connection) with(cmd *cobra.Command, call func(ctx context.Context, admin adminv1.AdminServiceClient) error) error {
	return c.connected(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		return call(ctx, adminv1.NewAdminServiceClient(conn))
	})
}

// connected makes calls that may take as long as the person who waits for them does.
func (c *connection) connected(cmd *cobra.Command, call func(ctx context.Context, conn *grpc.ClientConn) error) (err error) {
	data := firstOf(c.data, os.Getenv("GARAGE_DATA"), defaultData)
	address := firstOf(c.admin, os.Getenv("GARAGE_ADMIN"), savedAddress(data), defaultAdmin)
	token, err := findToken(data)
	if err != nil {
		return err
	}
	conn, err := adminserver.Dial(adminserver.DialConfig{Address: address, Token: token, CAFile: firstOf(c.ca, os.Getenv("GARAGE_ADMIN_CA"))})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return explain(call(cmd.Context(), conn), address, data)
}

// findToken takes the token of the environment or of the data folder.
func findToken(data string) (string, error) {
	if token := os.Getenv(adminserver.TokenEnv); token != "" {
		return token, nil
	}
	path := filepath.Join(data, adminserver.TokenFile)
	token, err := adminserver.ReadToken(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", gerrors.Newf(gerrors.Unauthenticated, "there is no admin token in %s: give the data folder of the server with --data, or the token in %s; a server is started with: garage standalone", path, adminserver.TokenEnv)
	case errors.Is(err, fs.ErrPermission):
		return "", gerrors.Newf(gerrors.Unauthenticated, "the admin token in %s may not be read by you: run this as the server's user, or give the token in %s", path, adminserver.TokenEnv)
	}
	return token, err
}

// savedAddress is where the server on the data folder said that it listens, or "".
func savedAddress(data string) string {
	content, err := os.ReadFile(filepath.Join(data, adminserver.AddressFile))
	if err != nil {
		return "" // there is none beside a server elsewhere; the default is tried instead
	}
	return strings.TrimSpace(string(content))
}

// explain adds what to do about the failures that are not about what was asked for.
func explain(err error, address, data string) error {
	switch {
	case gerrors.Answered(err), errors.As(err, new(brokenOff)): // it says itself what to do
	case gerrors.Is(err, gerrors.Unavailable) && strings.Contains(err.Error(), "x509:"):
		return fmt.Errorf("the certificate of the server at %s cannot be trusted: give the authority that issued it with --admin-ca (%w)", address, err)
	case gerrors.Is(err, gerrors.Unavailable):
		return fmt.Errorf("no server answers at %s: start one with \"garage standalone\", or give its address with --admin (%w)", address, err)
	case gerrors.Is(err, gerrors.Deadline):
		return fmt.Errorf("the server at %s did not answer in time; look at its log (%w)", address, err)
	case gerrors.Is(err, gerrors.NotImplemented):
		return fmt.Errorf("the server at %s does not know this command: it is of another version, or another service; most are for a rebalancer, and garage metadata is for a metadata service (%w)", address, err)
	case gerrors.Is(err, gerrors.Unauthenticated):
		return fmt.Errorf("the server at %s does not accept the token: check --data (now %s) or %s (%w)", address, data, adminserver.TokenEnv, err)
	}
	return err
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
