package cluster

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/cluster/local"
	"deuxfleurs.fr/garage/tools/stack/parts"
)

// browser starts a Chromium that knows nothing of anybody, and returns the context of its tab.
func (f *fixture) browser() context.Context {
	f.Helper()
	program, err := f.cluster.Stack().Program(f.ctx, parts.Chromium{})
	require.NoError(f, err)
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(program), chromedp.UserDataDir(f.TempDir()), chromedp.WSURLReadTimeout(2 * time.Minute)}
	for _, flag := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-component-update", "disable-sync",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	all, cancel := chromedp.NewExecAllocator(f.ctx, options...)
	f.Cleanup(cancel)
	tab, cancel := chromedp.NewContext(all)
	f.Cleanup(cancel)
	return tab
}

// page opens a page of Consul's UI, and returns what a reader sees once it shows all of that.
func (f *fixture) page(tab context.Context, path string, wanted ...string) {
	f.Helper()
	env, err := f.cluster.Stack().Env()
	require.NoError(f, err)
	require.NoError(f, chromedp.Do(tab, chromedp.Navigate(env["GARAGE_STACK_CONSUL"]+"/ui/dc1/"+path)))
	f.shows(tab, wanted...)
}

// follow opens what a link on the page leads to.
func (f *fixture) follow(tab context.Context, link string, wanted ...string) {
	f.Helper()
	click := fmt.Sprintf("[...document.querySelectorAll('a')].find(a => a.innerText.trim() === %q).click()", link)
	require.NoError(f, chromedp.Do(tab, chromedp.Evaluate[chromedp.Void](click)))
	f.shows(tab, wanted...)
}

// shows waits until the page, which follows what Consul knows, shows all of that.
func (f *fixture) shows(tab context.Context, wanted ...string) {
	f.Helper()
	f.until("Consul's UI shows it", func() error {
		seen, err := chromedp.Run(tab, chromedp.Evaluate[string]("document.body.innerText"))
		if err != nil {
			return err
		}
		text := strings.Join(strings.Fields(seen), " ")
		for _, pattern := range wanted {
			if !regexp.MustCompile(pattern).MatchString(text) {
				return fmt.Errorf("no %q in %q", pattern, text)
			}
		}
		return nil
	})
}

func TestConsulsUIShowsEachChunkNode(t *testing.T) {
	f := setUp(t)
	nodes := f.processes(local.JobChunkNode)
	all := f.instances(local.JobChunkNode)
	require.Len(t, all, 3)
	tab := f.browser()
	const healthy = `All service checks passing`
	f.page(tab, "services/garage-chunk-node/instances", `node-1`, `node-2`, `node-3`, `(?s)(`+healthy+`.*){3}`)
	for _, i := range all {
		zone := "zone-" + strings.TrimPrefix(i.Node.Node, "node-")
		f.page(tab, "services/garage-chunk-node/instances/"+i.Node.Node+"/"+i.Service.ID+"/health-checks", `CheckID \S+:alive Type ttl Notes - Output`)
		f.follow(tab, "Tags & Meta", `zone `+zone+`\b`, `capacity \d+(\.\d)? [GT]B\b`, `version `+regexp.QuoteMeta(i.Service.Meta["version"]))
	}
	// One that is killed and stays away is critical when its time is over; the others are as before.
	stopped := nodes[1]
	require.NoError(t, stopped.Kill())
	away := true
	t.Cleanup(func() {
		if away {
			require.NoError(t, stopped.Start())
		}
	})
	f.page(tab, "services/garage-chunk-node/instances", `(?s)(`+healthy+`.*){2}`, `(?s)[Ff]ailing`)
	away = false
	require.NoError(t, stopped.Start())
	f.shows(tab, `(?s)(`+healthy+`.*){3}`)
}
