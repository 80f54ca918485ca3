package console

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
)

// tabTo presses Tab until what has the focus is called that.
func (b *browser) tabTo(name string) {
	b.t.Helper()
	var seen []string
	for range 120 {
		b.keys(kb.Tab)
		at := eval[string](b, "(e => (e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText || '').trim())(document.activeElement)")
		if at == name {
			require.NotEqual(b.t, "none", eval[string](b, "getComputedStyle(document.activeElement).outlineStyle"), "who has the focus can be seen: %s", name)
			return
		}
		seen = append(seen, at)
	}
	require.Fail(b.t, "the keyboard does not reach it", "%s; it reaches %q", name, seen)
}

func TestTheKeyboardAloneIsEnough(t *testing.T) {
	d := deploy.ForTest(t)
	data(t, d, "first")
	b := open(t, d.Admin, 1280)
	b.until("it asks who it is", "document.querySelector('.sign-in')")
	b.tabTo("Password or token")
	b.keys(token(t, d) + kb.Enter)
	b.until("the status is there", "document.querySelector('#verdict')")
	require.Equal(t, "main", eval[string](b, "document.activeElement.id"), "who signs in is at the content")

	b.keys(kb.Tab)
	b.until("the focus goes on from there", "document.activeElement !== document.body")
	b.tabTo("Skip to the content")
	b.keys(kb.Enter)
	require.Equal(t, "main", eval[string](b, "document.activeElement.id"))

	b.tabTo("Buckets")
	b.keys(kb.Enter)
	b.shows("Make a bucket")
	b.tabTo("Name")
	b.keys("by-keyboard" + kb.Enter)
	b.shows("The bucket by-keyboard is made.")
	b.tabTo("by-keyboard")
	b.keys(kb.Enter)
	b.shows("Delete this bucket")
	b.tabTo("Delete this bucket")
	b.keys(kb.Enter)
	b.until("it asks", "document.querySelector('dialog[open]')")
	b.keys(kb.Escape)
	b.until("nothing was done", "!document.querySelector('dialog') && location.hash.includes('by-keyboard')")
	require.Equal(t, "Delete this bucket", eval[string](b, "document.activeElement.innerText"), "the focus is where it was")
	b.keys(kb.Enter)
	b.until("it asks again", "document.querySelector('dialog[open]')")
	b.tabTo("Delete it")
	b.keys(kb.Enter)
	b.until("the bucket is gone", "location.hash === '#/buckets' && document.querySelector('main').innerText.includes('first') && !document.querySelector('main').innerText.includes('by-keyboard')")

	b.tabTo("Map")
	b.keys(kb.Enter)
	b.shows("All 4096 partitions")
	b.tabTo("Map of the partitions, 64 in a row")
	b.keys(kb.Home + kb.ArrowRight + kb.ArrowDown)
	b.shows("Partition 041")
	b.until("it is read aloud", fmt.Sprintf("document.querySelector('#announce').innerText.includes(%q)", "Partition 041"))
	b.shot("keyboard")
}
