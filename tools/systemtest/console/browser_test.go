package console

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/install"
	"deuxfleurs.fr/garage/tools/repo"
)

// patience is how long one step may take: machines that run tests are busy.
const patience = 3 * time.Minute

// browser is a Chromium that knows nothing of anybody, with one tab.
type browser struct {
	t   *testing.T
	tab context.Context
	url string // of the console

	mu       sync.Mutex
	problems []string // what the page wrote to the console as errors
}

// artefacts is the folder for what the browser saw.
func artefacts(t *testing.T) string {
	t.Helper()
	root, err := repo.Root()
	require.NoError(t, err)
	dir := filepath.Join(root, "var", "test", "console")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	return dir
}

// open starts a browser whose window is that wide, and shows the console of the server at that address.
func open(t *testing.T, admin string, width int64) *browser {
	t.Helper()
	const chromium = "/usr/bin/chromium"
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	t.Cleanup(cancel)
	require.NoError(t, install.Installer{Progress: os.Stderr}.Debian(ctx, install.Package{Name: "chromium", File: chromium},
		install.Package{Name: "fonts-dejavu-core", File: "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"}))
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(chromium), chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(2 * time.Minute)}
	for _, flag := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-component-update", "disable-sync", "hide-scrollbars",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	all, cancel := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	tab, cancel := chromedp.NewContext(all)
	t.Cleanup(cancel)
	b := &browser{t: t, tab: tab, url: "http://" + admin + "/console/"}
	require.NoError(t, chromedp.Do(tab, chromedp.EmulateViewport(width, 900))) // the browser lives as long as the context of the first step
	var listening sync.WaitGroup
	listening.Go(func() {
		for message, err := range chromedp.Console(tab) {
			if err != nil {
				return
			}
			// The browser itself writes a line for each answer that is an error.
			if (message.Type == chromedp.ConsoleError || message.Type == chromedp.ConsoleException) && !strings.HasPrefix(message.Text, "Failed to load resource") {
				b.mu.Lock()
				b.problems = append(b.problems, fmt.Sprintf("%s %s:%d", message.Text, message.URL, message.Line))
				b.mu.Unlock()
			}
		}
	})
	t.Cleanup(func() {
		if t.Failed() {
			b.shot("failed-" + strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()))
		}
		cancel()
		listening.Wait()
		require.Empty(t, b.problems, "errors in the page, or what its policy refused")
	})
	b.do(chromedp.Navigate(b.url))
	return b
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.tab, patience)
	defer cancel()
	require.NoError(b.t, chromedp.Do(ctx, steps...))
}

// until waits until an expression is true in the page.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	b.within(patience, what, expression)
}

func (b *browser) within(limit time.Duration, what, expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.tab, limit)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Poll[bool]("!!("+expression+")", chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(0)))
	if err != nil {
		text, _ := chromedp.Run(b.tab, chromedp.Evaluate[string]("document.body.innerText"))
		require.NoError(b.t, err, "waiting until %s; the page shows:\n%s", what, text)
	}
}

// eval is the value of an expression in the page.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.tab, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(b.t, err, expression)
	return value
}

// shows waits until the page shows all of that.
func (b *browser) shows(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.until("it shows "+text, fmt.Sprintf("document.body.innerText.includes(%q)", text))
	}
}

// press presses what has that text.
func (b *browser) press(text string) {
	b.t.Helper()
	find := fmt.Sprintf("[...document.querySelectorAll('dialog[open] button, button, a, summary')].find(e => (e.innerText.trim() === %q || e.getAttribute('aria-label') === %q) && e.offsetParent !== null && !e.disabled && (!document.querySelector('dialog[open]') || e.closest('dialog[open]')))", text, text)
	b.until("there is something called "+text+" to press", find)
	eval[bool](b, "("+find+".click(), true)")
}

// fill writes into the field with that label.
func (b *browser) fill(label, value string) {
	b.t.Helper()
	find := fmt.Sprintf("[...document.querySelectorAll('label')].find(l => l.innerText.trim().startsWith(%q) && l.offsetParent !== null)?.control", label)
	b.until("there is a field "+label, find)
	eval[bool](b, fmt.Sprintf("(e => { e.focus(); e.value = %q; e.dispatchEvent(new Event('input', {bubbles: true})); e.dispatchEvent(new Event('change', {bubbles: true})); return true })(%s)", value, find))
}

// keys types on the keyboard.
func (b *browser) keys(keys string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys))
}

// visit shows a page of the console.
func (b *browser) visit(page string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf("(location.hash = '#/%s', true)", page))
	b.until("the page "+page+" is there", fmt.Sprintf("document.querySelector('.page') && location.hash === '#/%s' && document.querySelector('main h1')", page))
}

// signIn signs in with the operator's token.
func (b *browser) signIn(token string) {
	b.t.Helper()
	b.fill("Password or token", token)
	b.press("Sign in")
	b.until("the status is there", "document.querySelector('#verdict')")
}

// theme has the browser prefer light or dark.
func (b *browser) theme(name string) {
	b.t.Helper()
	b.do(func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return chromedp.Void{}, err
	})
}

// shot keeps a picture of the whole page.
func (b *browser) shot(name string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.tab, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Logf("no picture %s: %v", name, err)
		return
	}
	path := filepath.Join(artefacts(b.t), name+".png")
	if err := os.WriteFile(path, picture, 0o600); err != nil {
		b.t.Logf("no picture %s: %v", name, err)
	}
}
