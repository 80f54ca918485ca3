// Command install installs the S3 programs that the tests use and prints where they are.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"deuxfleurs.fr/garage/tools/clients"
)

func main() {
	compiler := pflag.Bool("compiler", false, "install the C compiler that the race detector needs, and nothing else")
	pflag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *compiler {
		if err := clients.Compiler(ctx, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	tools, err := clients.Install(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("aws 1   %s\naws 2   %s\ns3cmd   %s\nboto3   %s\nrclone  %s\nrestic  %s\n",
		tools.AWS1, tools.AWS2, tools.S3cmd, tools.Python, tools.Rclone, tools.Restic)
}
