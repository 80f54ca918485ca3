package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

var (
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
	setting  = regexp.MustCompile(`^(chunk|s3|metadata|rebalancer|admin|log)(\.[a-z0-9-]+)+$`)
)

// documents are the pages for operators, by their path in the repository.
func documents(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..", "..")
	pages, err := filepath.Glob(filepath.Join(root, "nomad", "handbook", "*.md"))
	require.NoError(t, err)
	require.Greater(t, len(pages), 7)
	all := map[string]string{}
	for _, path := range append(pages, filepath.Join(root, "README.md"), filepath.Join(root, "nomad", "README.md"), filepath.Join(root, "nomad", "metrics.md")) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		all[strings.TrimPrefix(path, root+string(filepath.Separator))] = string(text)
	}
	return all
}

// parse finds the command of a line and reads its flags and arguments, without running it. Within a sentence a command may stand without
// its arguments.
func parse(line string, sentence bool) error {
	root := newRoot(io.Discard, io.Discard)
	root.InitDefaultCompletionCmd()
	var words []string
	for _, w := range strings.Fields(line) {
		if w = strings.Trim(w, `"'`); w == "N" { // stands for a number
			w = "1"
		}
		words = append(words, w)
	}
	cmd, rest, err := root.Find(words[1:])
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return nil
		}
		return err
	}
	if args := cmd.Flags().Args(); len(args) > 0 || !sentence || cmd.HasSubCommands() {
		return cmd.ValidateArgs(args)
	}
	return nil
}

func TestEveryCommandInTheDocumentsExists(t *testing.T) {
	found := 0
	check := func(page, line string, sentence bool) {
		line, _, _ = strings.Cut(line, " #")
		line = strings.TrimPrefix(strings.TrimSpace(line), "bin/")
		if !strings.HasPrefix(line, "garage ") || strings.Contains(line, " = ") { // a picture says what a program is
			return
		}
		found++
		require.NoError(t, parse(line, sentence), "%s: %s", page, line)
	}
	for page, text := range documents(t) {
		fenced := false
		for line := range strings.Lines(text) {
			switch {
			case strings.HasPrefix(line, "```"):
				fenced = !fenced
			case fenced || strings.HasPrefix(line, "    "):
				check(page, line, false)
			default:
				for _, span := range codeSpan.FindAllStringSubmatch(line, -1) {
					check(page, span[1], true)
				}
			}
		}
	}
	require.Greater(t, found, 40)

	require.Error(t, parse("garage layout lose NODE", false), "no such command")
	require.Error(t, parse("garage layout lost", false), "without its argument")
	require.Error(t, parse("garage layout apply --revsion 3", true), "no such flag")
}

// Settings of the services that run in one process, too.
func TestEverySettingInTheDocumentsExists(t *testing.T) {
	names := map[string]bool{}
	newStandalone().Flags().VisitAll(func(f *pflag.Flag) {
		for name := f.Name; name != ""; name = name[:max(0, strings.LastIndex(name, "-"))] { // a section, too
			names[name] = true
		}
	})
	found := 0
	for page, text := range documents(t) {
		if filepath.Base(page) == "metrics.md" { // names of spans look like settings
			continue
		}
		for _, span := range codeSpan.FindAllStringSubmatch(text, -1) {
			if name, _, _ := strings.Cut(span[1], ":"); setting.MatchString(name) && !strings.HasSuffix(name, ".org") && name != "admin.token" { // a host, and a file
				found++
				require.True(t, names[strings.ReplaceAll(name, ".", "-")], "%s: there is no setting %s", page, name)
			}
		}
	}
	require.Greater(t, found, 15)
}
