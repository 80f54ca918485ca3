package telemetry

import (
	"context"
	"io"
	"log/slog"
	"os"
)

// LogConfig says how to log.
type LogConfig struct {
	Level  slog.Level `conf:"level" help:"least severe log lines to write: debug, info, warn or error"`
	Format string     `conf:"format" help:"form of log lines; auto is text on a terminal and json otherwise" allowed:"auto,text,json"`
}

// DefaultLogConfig logs what an operator should read.
func DefaultLogConfig() LogConfig { return LogConfig{Level: slog.LevelInfo, Format: "auto"} }

// NewLogger writes to w as the configuration says. Lines carry the request ID and the trace ID of their context.
func NewLogger(w io.Writer, c LogConfig) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "text" || c.Format != "json" && isTerminal(w) {
		return slog.New(contextHandler{slog.NewTextHandler(w, options)})
	}
	return slog.New(contextHandler{slog.NewJSONHandler(w, options)})
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// contextHandler adds the request ID and the trace ID of the context to each line.
type contextHandler struct{ slog.Handler }

func (h contextHandler) Handle(ctx context.Context, r slog.Record) error {
	if id := RequestID(ctx); id != "" {
		r.AddAttrs(slog.String("request_id", id))
	}
	if id := TraceID(ctx); id != "" {
		r.AddAttrs(slog.String("trace_id", id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h contextHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return contextHandler{h.Handler.WithAttrs(attrs)}
}

func (h contextHandler) WithGroup(name string) slog.Handler {
	return contextHandler{h.Handler.WithGroup(name)}
}
