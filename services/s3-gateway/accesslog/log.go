package accesslog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/telemetry"
)

// Where lines can go, besides a file.
const (
	Off    = "off"
	Stdout = "stdout"
	Stderr = "stderr"
)

const (
	// queue is how many lines may wait to be written.
	queue = 4096
	// complainAfter is how long the same trouble is not said again.
	complainAfter = time.Minute
)

// Log takes the entries of requests. Make one with Open, and let Follow run; a nil *Log is off.
type Log struct {
	target  string
	out     io.WriteCloser
	lines   chan []byte
	dropped prometheus.Counter
	said    time.Time
}

// Open opens the log that goes to target: one of the constants, or the path of a file, to which is appended. r takes the
// metrics; nil: they are not published. It returns nil for Off. Kinds: Invalid.
func Open(target string, r prometheus.Registerer) (*Log, error) {
	if target == Off || target == "" {
		return nil, nil
	}
	l := &Log{target: target, lines: make(chan []byte, queue), dropped: prometheus.NewCounter(prometheus.CounterOpts{Namespace: telemetry.Namespace,
		Subsystem: "s3", Name: "access_log_dropped_total", Help: "Lines of the access log that were lost, as they could not be written fast enough or at all."})}
	var err error
	if l.out, err = open(target); err != nil {
		return nil, errors.E(errors.Invalid, errors.Setting, "s3.access-log", "%v; name a file that can be written, stdout, stderr or off", err)
	}
	if r != nil {
		r.MustRegister(l.dropped)
	}
	return l, nil
}

// standard is a stream of the process, which is not closed.
type standard struct{ io.Writer }

func (standard) Close() error { return nil }

func open(target string) (io.WriteCloser, error) {
	switch target {
	case Stdout:
		return standard{os.Stdout}, nil
	case Stderr:
		return standard{os.Stderr}, nil
	}
	// Who may read it learns who asked for what.
	return os.OpenFile(target, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
}

// Write adds an entry. It does not wait.
func (l *Log) Write(e Entry) {
	if l == nil {
		return
	}
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(e) != nil { // no entry is so
		l.dropped.Inc()
		return
	}
	select {
	case l.lines <- line.Bytes():
	default:
		l.dropped.Inc()
	}
}

// Follow writes the lines, and opens the file anew at each SIGHUP, until ctx ends and what waits is written. It closes the log.
func (l *Log) Follow(ctx context.Context, log *slog.Logger) {
	if l == nil {
		return
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	out := bufio.NewWriter(l.out)
	for {
		select {
		case line := <-l.lines:
			l.write(out, line, log)
		case <-hangup:
			l.reopen(out, log)
		case <-ctx.Done():
			for len(l.lines) > 0 {
				l.write(out, <-l.lines, log)
			}
			if err := l.out.Close(); err != nil {
				log.Warn("closing the access log", "error", err)
			}
			return
		}
	}
}

// write writes a line, and hands what is written to the system when no more lines wait.
func (l *Log) write(out *bufio.Writer, line []byte, log *slog.Logger) {
	_, err := out.Write(line)
	if err == nil && len(l.lines) == 0 {
		err = out.Flush()
	}
	if err == nil {
		return
	}
	l.dropped.Inc()
	out.Reset(l.out) // its error would stay
	if now := time.Now(); now.Sub(l.said) >= complainAfter {
		l.said = now
		log.Error("the access log cannot be written; lines are lost", "to", l.target, "error", err)
	}
}

// reopen goes on in a new file where somebody has moved the old one away.
func (l *Log) reopen(out *bufio.Writer, log *slog.Logger) {
	fresh, err := open(l.target)
	if err != nil {
		log.Error("the access log cannot be opened anew: it goes on in the old file", "to", l.target, "error", err)
		return
	}
	if err := errors.Join(out.Flush(), l.out.Close()); err != nil {
		log.Warn("ending the old access log", "to", l.target, "error", err)
	}
	l.out = fresh
	out.Reset(fresh)
	log.Info("the access log was opened anew", "to", l.target)
}
