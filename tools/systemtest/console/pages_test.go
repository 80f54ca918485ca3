package console

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/install"
	"deuxfleurs.fr/garage/tools/s3client"
)

const (
	axeVersion   = "4.14.1"
	axeIntegrity = "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
)

// pages are all of the console: what the address ends in, and what they show once they are there.
func pages(bucket string) map[string]string {
	return map[string]string{
		"overview": "In the background", "map": "Nodes and zones", "nodes": "Partitions", "layout": "Nodes", "work": "Scrub", "buckets": bucket,
		"buckets/" + bucket: "Who may use it", "buckets/" + bucket + "/objects": "hello.txt", "keys": "May somebody do something?", "events": "Level",
	}
}

// axe is the program that finds what keeps people from using a page.
func axe(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dir, err := install.Installer{Progress: os.Stderr}.NPM(ctx, "axe-core", axeVersion, axeIntegrity)
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(dir, "axe.min.js"))
	require.NoError(t, err)
	return string(text)
}

// finding is a rule of axe that a page breaks.
type finding struct {
	ID     string   `json:"id"`
	Impact string   `json:"impact"`
	Help   string   `json:"help"`
	Nodes  []string `json:"nodes"`
}

// findings are the rules that the page breaks badly. The program is evaluated by the debugger, so the page's policy stays as it is.
func (b *browser) findings(program string) []finding {
	b.t.Helper()
	if !eval[bool](b, "typeof axe !== 'undefined'") {
		b.do(chromedp.Evaluate[chromedp.Void](program + "; undefined"))
	}
	return eval[[]finding](b, `axe.run(document, {resultTypes: ['violations']}).then(r => r.violations
		.filter(v => v.impact === 'serious' || v.impact === 'critical')
		.map(v => ({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 3).map(n => n.html + ': ' + n.failureSummary)})))`)
}

// data makes a bucket with an object.
func data(t *testing.T, d *deploy.Deployment, bucket string) *s3client.Client {
	t.Helper()
	client := s3client.New(d.Endpoint, 1)
	for _, r := range []s3client.Request{{Method: "PUT", Bucket: bucket}, {Method: "PUT", Bucket: bucket, Key: "hello.txt", Body: []byte("hello")},
		{Method: "PUT", Bucket: bucket, Key: "photos/2026/cat.jpg", Body: make([]byte, 300_000)}} {
		resp, err := client.Do(t.Context(), r)
		require.NoError(t, err)
		require.Equal(t, 200, resp.Status)
	}
	return client
}

func TestEveryPageCanBeUsedByEverybody(t *testing.T) {
	d := deploy.ForTest(t)
	data(t, d, "first")
	program := axe(t)
	for _, width := range []int64{1280, 360} {
		b := open(t, d.Admin, width)
		require.Empty(t, b.findings(program), "signing in")
		b.noWider(width)
		b.signIn(token(t, d))
		for page, shows := range pages("first") {
			b.visit(page)
			b.shows(shows)
			for _, theme := range []string{"light", "dark"} {
				b.theme(theme)
				require.Empty(t, b.findings(program), "%s, %s, %d wide", page, theme, width)
				b.noWider(width)
				b.shot(fmt.Sprintf("%s-%s-%s-%d", d.Kind, filepath.ToSlash(slug(page)), theme, width))
			}
		}
	}
}

func TestAMapThatDoesNotChangeIsNotAskedForAgain(t *testing.T) {
	d := deploy.ForTest(t)
	client := data(t, d, "first")
	b := open(t, d.Admin, 1280)
	b.signIn(token(t, d))
	b.visit("map")
	b.shows("All 4096 partitions")
	const asked = "performance.getEntriesByType('resource').filter(e => e.name.endsWith('api/GetPartitions')).length"
	settled := eval[int](b, asked)
	// What the page follows goes on: requests are counted.
	eval[bool](b, `(() => { window.told = 0; window.revisions = new Set(); new EventSource('events').addEventListener('status', e => {
		window.told++; window.revisions.add(JSON.parse(e.data).partitions) }); return true })()`)
	for told := 1; told <= 5; told++ {
		_, err := client.Do(t.Context(), s3client.Request{Method: "GET", Bucket: "first"})
		require.NoError(t, err)
		b.until("it is told", fmt.Sprintf("window.told >= %d", told))
	}
	require.LessOrEqual(t, eval[int](b, asked)-settled, eval[int](b, "window.revisions.size"), "only when there is another map")
}

func slug(page string) string {
	out := []rune(page)
	for i, r := range out {
		if r == '/' {
			out[i] = '-'
		}
	}
	return string(out)
}

// noWider fails if somebody would have to scroll sideways.
func (b *browser) noWider(width int64) {
	b.t.Helper()
	require.LessOrEqual(b.t, eval[int64](b, "document.documentElement.scrollWidth"), width, "the page is wider than the window: %s",
		eval[string](b, "location.hash + [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map(e => '\\n' + e.outerHTML.slice(0, 200)).join('')"))
}
