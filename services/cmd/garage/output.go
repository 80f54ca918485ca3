package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// show writes v as JSON if that was asked for, and otherwise what people writes.
func (c *connection) show(cmd *cobra.Command, v any, people func(w io.Writer)) error {
	out := cmd.OutOrStdout()
	if c.json {
		encoder := json.NewEncoder(out)
		if !c.compact {
			encoder.SetIndent("", "  ")
		}
		encoder.SetEscapeHTML(false)
		return encoder.Encode(v)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	people(w)
	return w.Flush()
}

// row writes one line of a table. The writer is a tabwriter, whose errors come with Flush.
func row(w io.Writer, cells ...any) {
	text := make([]string, len(cells))
	for i, c := range cells {
		text[i] = fmt.Sprint(c)
	}
	_, _ = fmt.Fprintln(w, strings.Join(text, "\t"))
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func rightsText(r *adminv1.Rights) string {
	var names []string
	for _, n := range []struct {
		has  bool
		name string
	}{{r.GetRead(), "read"}, {r.GetWrite(), "write"}, {r.GetOwner(), "owner"}} {
		if n.has {
			names = append(names, n.name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ",")
}

func timeText(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().UTC().Format(time.RFC3339)
}

// bytesText is a number of bytes for people, such as 1.5 GiB.
func bytesText(n int64) string {
	value, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB", "PiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, next
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}
