package program

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"deuxfleurs.fr/garage/pkg/config"
	"deuxfleurs.fr/garage/pkg/lifecycle"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// clientEnv are the variables of the command line that speaks to a server.
var clientEnv = []string{"GARAGE_ADMIN", "GARAGE_ADMIN_CA"}

// Command makes the command that runs the program of that name. conf points to its configuration, which embeds
// settings; build adds its services.
func Command(name, short string, conf any, settings *Settings, build func(ctx context.Context, p *Program) error) *cobra.Command {
	loader := config.New(conf)
	cmd := &cobra.Command{
		Use: name, Short: short, Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		Long: short + `.

Each setting is given, in rising order, by the file of --config (YAML), the environment (GARAGE_ and the
name in capitals, as GARAGE_LOG_LEVEL) or a flag.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := loader.Load(os.Environ()); err != nil {
				return err
			}
			log := telemetry.NewLogger(os.Stderr, settings.Log).With("service", name)
			unknown := slices.DeleteFunc(loader.UnknownEnv(), func(name string) bool { return slices.Contains(clientEnv, name) })
			if len(unknown) > 0 {
				log.Info("environment variables that are no setting of this program", "names", unknown)
			}
			// A person who asks twice does not want to wait.
			ctx, release := lifecycle.Signals(cmd.Context(), log, func() { os.Exit(130) })
			defer release()
			return Run(ctx, name, *settings, cmd.OutOrStdout(), build)
		},
	}
	loader.AddFlags(cmd.Flags())
	cmd.Flags().SortFlags = false
	return cmd
}

// Main runs a command as a whole process.
func Main(cmd *cobra.Command) {
	if err := cmd.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", cmd.Name(), err)
		os.Exit(1)
	}
}
