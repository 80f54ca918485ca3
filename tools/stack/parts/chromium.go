package parts

import (
	"context"

	"deuxfleurs.fr/garage/tools/install"
)

// Chromium is installed only: tests start browsers of their own.
type Chromium struct{}

// Name is "chromium".
func (Chromium) Name() string { return "chromium" }

func (Chromium) needs() []string { return nil }

func (Chromium) install(ctx context.Context, _ *Stack, i install.Installer) (map[string]string, error) {
	const chromium = "/usr/bin/chromium"
	return map[string]string{"chromium": chromium}, i.Debian(ctx, install.Package{Name: "chromium", File: chromium})
}

func (Chromium) start(context.Context, *Stack, map[string]string) (map[string]string, error) {
	return map[string]string{}, nil
}
