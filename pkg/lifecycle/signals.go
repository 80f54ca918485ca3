package lifecycle

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// Signals returns a context that ends at the first SIGINT or SIGTERM; a second one calls force, which
// is expected not to return (os.Exit). The returned function releases the signals.
func Signals(parent context.Context, logger *slog.Logger, force func()) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	received := make(chan os.Signal, 2)
	signal.Notify(received, os.Interrupt, syscall.SIGTERM)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		watch(logger, received, quit, cancel, force)
	}()
	return ctx, func() {
		signal.Stop(received)
		close(quit)
		<-done
		cancel()
	}
}

func watch(logger *slog.Logger, received <-chan os.Signal, quit <-chan struct{}, cancel, force func()) {
	select {
	case s := <-received:
		logger.Info("stopping: requests under way are finished; a second signal stops at once", "signal", s.String())
		cancel()
	case <-quit:
		return
	}
	select {
	case <-received:
		force()
	case <-quit:
	}
}
