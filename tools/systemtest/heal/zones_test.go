//go:build stack

package heal

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/deploy"
	"deuxfleurs.fr/garage/tools/deploy/sites"
	"deuxfleurs.fr/garage/tools/stack/links"
)

func TestAWholeSiteStopsAndReturns(t *testing.T) {
	r := begin(t)
	site := r.NodesAt(2)
	each(t, site, (*deploy.Process).Kill)
	// What is written meanwhile goes to nodes that stand in.
	r.goesOn(200)
	each(t, site, (*deploy.Process).Start)
	each(t, site, func(p *deploy.Process) error { return r.Ready(t.Context(), p) })
	r.goesOn(50)
	r.end(10)
}

func TestASiteIsCutOffBehindBadLinks(t *testing.T) {
	bad := links.Link{Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.01, Reorder: 0.01}
	r := begin(t, func(o *sites.Options) { o.Link = bad })
	r.Network.Isolate(r.Sites[2], links.Link{Cut: true})
	r.goesOn(150)
	r.Network.Isolate(r.Sites[2], bad)
	r.goesOn(100)
	r.end(20)
}

func TestTheLayoutChangesWhileASiteIsCutOff(t *testing.T) {
	r := begin(t, slowly)
	p := r.add(1)
	r.Network.Isolate(r.Sites[2], links.Link{Cut: true})
	r.apply(change{in: []*deploy.Process{p}, out: []*deploy.Process{r.NodesAt(1)[1]}})
	r.goesOn(100)
	require.Equal(t, 2, r.inForce(), "the old layout stays in force until the site has answered")
	r.Network.Isolate(r.Sites[2], links.Link{})
	r.goesOn(50)
	r.end(20)
}
