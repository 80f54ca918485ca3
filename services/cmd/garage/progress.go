package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"deuxfleurs.fr/garage/pkg/clock"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

const (
	// lookEvery is how often progress is asked for.
	lookEvery = time.Second
	// sayEvery is how often it is written where it cannot be drawn over.
	sayEvery = 10 * time.Second
	barWidth = 30
)

// progress draws the state of things in lines that replace each other in a terminal, and now and then follow each other elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	drawn    int // lines that are to be drawn over
	said     time.Time
	last     string
}

func newProgress(out io.Writer) *progress { return &progress{out: out, terminal: isTerminal(out)} }

// isTerminal reports whether what is written can be drawn over.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// draw shows lines; final ones are shown in any case.
func (p *progress) draw(lines []string, now time.Time, final bool) error {
	text := strings.Join(lines, "\n")
	if p.terminal {
		up := ""
		if p.drawn > 0 {
			up = fmt.Sprintf("\x1b[%dA", p.drawn)
		}
		p.drawn = len(lines)
		// Each line is cleared behind its text.
		_, err := fmt.Fprint(p.out, up+strings.ReplaceAll(text, "\n", "\x1b[K\n")+"\x1b[K\n")
		return err
	}
	if text == p.last || !final && now.Sub(p.said) < sayEvery {
		return nil
	}
	p.last, p.said = text, now
	_, err := fmt.Fprintln(p.out, text)
	return err
}

// bar is a share of a whole as a bar.
func bar(done, total int64) string {
	if total <= 0 {
		return strings.Repeat(" ", barWidth+2)
	}
	full := int(min(max(done, 0), total) * barWidth / total)
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "]"
}

func (n nodeTaskJSON) line() string {
	t := n.taskJSON
	if t == nil {
		return fmt.Sprintf("%s  %s", n.Node, n.Problem)
	}
	text := fmt.Sprintf("%s  %s %s, %s, %s", n.Node, bar(t.Done, t.Total), t.State, t.share(), bytesText(t.Bytes))
	if t.Left > 0 {
		text += ", " + t.left() + " left"
	}
	if t.Problems > 0 {
		text += fmt.Sprintf(", %d problems", t.Problems)
	}
	if t.Note != "" {
		text += ": " + t.Note
	}
	return text
}

// toTheEnd has nodes begin a task, shows how far it is until none works on it, and returns how it ended.
func (c *connection) toTheEnd(cmd *cobra.Command, r *adminv1.CommandNodesRequest) ([]nodeTaskJSON, error) {
	told, err := c.command(cmd, r)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range told {
		if n.Problem == "" {
			names = append(names, n.Node)
		}
	}
	ended, err := c.await(cmd, r.GetTask(), names)
	if err != nil {
		return nil, err
	}
	for _, n := range told {
		if n.Problem != "" {
			ended = append(ended, n)
		}
	}
	if c.json {
		return ended, c.show(cmd, ended, nil)
	}
	return ended, nil
}

// await shows how far a task of nodes is until none of them works on it, and returns how it ended.
func (c *connection) await(cmd *cobra.Command, task chunknodev1.Task, names []string) ([]nodeTaskJSON, error) {
	shown := newProgress(cmd.OutOrStdout())
	for {
		all, err := c.tasks(cmd, task)
		if err != nil {
			return nil, err
		}
		var nodes []nodeTaskJSON
		var lines []string
		running := false
		for _, n := range all {
			for _, name := range names {
				if n.Node == name {
					nodes, lines = append(nodes, n), append(lines, n.line())
					running = running || n.taskJSON != nil && n.Problem == "" && n.State == "running"
				}
			}
		}
		if !c.json {
			if err := shown.draw(lines, time.Now(), !running); err != nil {
				return nil, err
			}
		}
		if !running {
			return nodes, nil
		}
		if err := clock.Sleep(cmd.Context(), clock.System{}, lookEvery); err != nil {
			return nil, err
		}
	}
}
