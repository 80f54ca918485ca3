package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"deuxfleurs.fr/garage/pkg/clock"
	gerrors "deuxfleurs.fr/garage/pkg/errors"
)

const (
	watchEvery = 2 * time.Second
	watchLeast = 100 * time.Millisecond
)

// watched gives a command that shows a state the flag --watch: it shows it again and again, until it is interrupted.
func watched(c *connection, cmd *cobra.Command) *cobra.Command {
	var every time.Duration
	flag := "watch"
	cmd.Flags().DurationVar(&every, flag, 0, "show it again and again, each `INTERVAL` such as --watch=5s, until Ctrl-C")
	cmd.Flags().Lookup(flag).NoOptDefVal = watchEvery.String()
	show := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !cmd.Flags().Changed(flag) {
			return show(cmd, args)
		}
		if every < watchLeast {
			return wrong("--watch=%v: the least is %v", every, watchLeast)
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
		defer stop()
		return c.watch(ctx, cmd, every, func() error { return show(cmd, args) })
	}
	return cmd
}

// watch calls show at intervals until ctx ends, which is no error. Once it has succeeded, a server that does not answer is said and asked
// again.
func (c *connection) watch(ctx context.Context, cmd *cobra.Command, every time.Duration, show func() error) error {
	out, before := cmd.OutOrStdout(), cmd.Context()
	defer func() { cmd.SetOut(out); cmd.SetContext(before) }()
	cmd.SetContext(ctx)
	c.compact = true
	screen, last := newScreen(out), ""
	for first := true; ; first = false {
		var text bytes.Buffer
		cmd.SetOut(&text)
		err := show()
		if errors.As(err, new(exitError)) {
			err = nil // all has been said
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (first || !mayPass(err)):
			return err
		case err == nil:
			last = text.String()
			err = screen.show(last)
		case screen.terminal:
			err = screen.show(last + "\n" + err.Error() + "\n")
		default:
			report(cmd.ErrOrStderr(), err, c.json)
			err = nil
		}
		if err != nil {
			return err
		}
		if clock.Sleep(ctx, clock.System{}, every) != nil {
			return nil
		}
	}
}

// mayPass tells whether a failure may be over when the call is repeated.
func mayPass(err error) bool {
	return exitStatus(err) == exitUnavailable || gerrors.Is(err, gerrors.Canceled)
}

// screen shows texts, of which each replaces the one before in a terminal, and follows it elsewhere.
type screen struct {
	out      io.Writer
	terminal bool
}

func newScreen(out io.Writer) *screen { return &screen{out: out, terminal: isTerminal(out)} }

func (s *screen) show(text string) error {
	if s.terminal {
		text = frame(text, height(s.out))
	}
	_, err := io.WriteString(s.out, text)
	return err
}

// frame draws a text from the top of a terminal, as far as there is room, and clears the rest. No limit with 0 rows.
func frame(text string, rows int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if rows > 1 && len(lines) >= rows {
		hidden := len(lines) - (rows - 2)
		lines = append(lines[:rows-2], fmt.Sprintf("… %d more lines", hidden))
	}
	const top, clearLine, clearBelow = "\x1b[H", "\x1b[K", "\x1b[J"
	return top + strings.Join(lines, clearLine+"\n") + clearLine + "\n" + clearBelow
}

// height is the number of rows of a terminal, or 0.
func height(out io.Writer) int {
	f, ok := out.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Row)
}
