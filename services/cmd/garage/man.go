package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"deuxfleurs.fr/garage/pkg/version"
)

func newMan() *cobra.Command {
	return &cobra.Command{
		Use: "man DIRECTORY", Short: "Write the manual pages into a directory", Args: cobra.ExactArgs(1),
		Long: `Write the manual pages into a directory, which is made if it is not there.

The same version of Garage always writes the same files.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			for _, c := range documented(cmd.Root()) {
				path := filepath.Join(args[0], pageName(c)+".1")
				if err := os.WriteFile(path, md2man.Render([]byte(page(c))), 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// documented is a command and those below it that have a manual page.
func documented(root *cobra.Command) (all []*cobra.Command) {
	for _, c := range allCommands(root) {
		if c.IsAvailableCommand() || c == root {
			all = append(all, c)
		}
	}
	return all
}

// pageName is what a manual page is called, such as garage-bucket-list.
func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// page is a manual page in the Markdown that md2man reads. It has no date: it changes only with the program.
func page(cmd *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%% %q \"1\" \"\" \"garage %s\" \"Garage\"\n\n", strings.ToUpper(pageName(cmd)), version.String())
	section := func(title string) { fmt.Fprintf(&b, "# %s\n\n", title) }
	section("NAME")
	fmt.Fprintf(&b, "%s - %s\n\n", pageName(cmd), escape(cmd.Short))
	section("SYNOPSIS")
	b.WriteString(verbatim(cmd.UseLine()))
	section("DESCRIPTION")
	b.WriteString(escape(firstOf(cmd.Long, cmd.Short+".")) + "\n\n")
	if below := documented(cmd)[1:]; len(below) > 0 {
		section("COMMANDS")
		for _, c := range below {
			if c.HasParent() && c.Parent() == cmd {
				fmt.Fprintf(&b, "**%s**(1)\n: %s\n\n", pageName(c), escape(c.Short))
			}
		}
	}
	writeFlags(&b, "OPTIONS", cmd.LocalFlags())
	writeFlags(&b, "OPTIONS OF ALL COMMANDS OF THIS KIND", cmd.InheritedFlags())
	if fields := fieldsOf(cmd); len(fields) > 0 {
		section("ANSWER")
		b.WriteString("With **--json** the answer has these fields; one that has no value may be left out or null.\n\n")
		lines := make([]string, len(fields))
		for i, f := range fields {
			lines[i] = f.path + "  " + f.kind
		}
		b.WriteString(verbatim(lines...))
	}
	if cmd.Annotations[ownStatus] == "" {
		section("EXIT STATUS")
		b.WriteString(verbatim(strings.Split(exitHelp, "\n")...))
	}
	if cmd.HasParent() {
		section("SEE ALSO")
		fmt.Fprintf(&b, "**%s**(1)\n", pageName(cmd.Parent()))
	}
	return b.String()
}

// ownStatus is the annotation of a command whose exit statuses are its own, and in its description.
const ownStatus = "own exit status"

func writeFlags(b *strings.Builder, title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(b, "# %s\n\n", title)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		name, usage := pflag.UnquoteUsage(f)
		text := "--" + f.Name
		if f.Shorthand != "" {
			text = "-" + f.Shorthand + ", " + text
		}
		switch {
		case f.NoOptDefVal != "" && f.Value.Type() != "bool":
			text += "[=" + name + "]"
		case name != "":
			text += " " + name
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" && f.DefValue != "[]" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(b, "**%s**\n: %s\n\n", escape(text), escape(usage))
	})
}

// escape keeps Markdown from taking characters for its own.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "<", `\<`, "[", `\[`, "`", "\\`").Replace(text)
}

// verbatim is lines that stay as they are.
func verbatim(lines ...string) string {
	return "    " + strings.Join(lines, "\n    ") + "\n\n"
}
