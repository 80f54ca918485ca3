package simulation

import (
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	oneSeed  = flag.Uint64("seed", 0, "run this seed alone, and log all that happens")
	seeds    = flag.Uint64("seeds", 80, "how many seeds to run")
	breaking = flag.Uint64("breaking", 20, "how many seeds may be needed to find a broken rule")
	first    = flag.Uint64("first", 1, "the first of them")
)

// rareSeeds is how many seeds it may need to find what only a rare coincidence shows.
const rareSeeds = 500

// runAll runs seeds, as many at a time as there are processors, until one fails. It returns the lowest one that failed, or 0.
func runAll(first, n uint64, o Options) (failed uint64, results map[uint64]Result) {
	var next, stop atomic.Uint64
	next.Store(first)
	stop.Store(first + n)
	results = make(map[uint64]Result)
	var mu sync.Mutex
	var work sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		work.Go(func() {
			for seed := next.Add(1) - 1; seed < stop.Load(); seed = next.Add(1) - 1 {
				r := Run(seed, o)
				mu.Lock()
				results[seed] = r
				if r.Failure != "" && (failed == 0 || seed < failed) {
					failed = seed
					stop.Store(seed) // lower ones are under way
				}
				mu.Unlock()
			}
		})
	}
	work.Wait()
	return failed, results
}

func TestPromises(t *testing.T) {
	if *oneSeed != 0 {
		require.Empty(t, Run(*oneSeed, Options{Log: func(line string) { t.Log(line) }}).Failure)
		return
	}
	failed, results := runAll(*first, *seeds, Options{})
	require.Zero(t, failed, "the seed %d does not keep what is promised: %s\nrun it alone with -args -seed %d", failed, results[failed].Failure, failed)
	var sum Counts
	for _, r := range results {
		sum.add(r.Counts)
	}
	t.Logf("%+v", sum)
	if *seeds >= 50 {
		for name, n := range sum.all() {
			require.NotZero(t, *n, "it never happened in %d runs: %s", *seeds, name)
		}
	}
}

func TestWhatMetadataForgetsForAWhileIsThereInTheEnd(t *testing.T) {
	o := Options{Forgets: true}
	if *oneSeed != 0 {
		o.Log = func(line string) { t.Log(line) }
		require.Empty(t, Run(*oneSeed, o).Failure)
		return
	}
	n := *seeds * 5 / 8 // they take longer
	failed, results := runAll(*first, n, o)
	require.Zero(t, failed, "the seed %d does not keep what is promised: %s\nrun it alone with -args -seed %d", failed, results[failed].Failure, failed)
	var sum Counts
	for _, r := range results {
		sum.add(r.Counts)
	}
	t.Logf("%+v", sum)
	require.Positive(t, sum.Forgotten)
	if n >= 50 {
		require.Positive(t, sum.Mistaken)
		require.Positive(t, sum.HadBack)
	}
}

func TestASeedGivesTheSameRun(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		one, other := Run(seed, Options{}), Run(seed, Options{})
		require.Equal(t, one, other)
		require.NotEqual(t, one.Trace, Run(seed+100, Options{}).Trace)
	}
}

// TestBrokenRulesAreFound breaks one rule at a time: what never finds anything shows nothing. Rules that only a rare
// coincidence needs are broken in a long run alone.
func TestBrokenRulesAreFound(t *testing.T) {
	if *oneSeed != 0 {
		return
	}
	for _, c := range []struct {
		name   string
		broken Broken
		rare   bool
		forget bool
	}{
		{"drops what nobody else has", Broken{Drop: true}, false, false},
		{"forgets what was removed", Broken{Tombstones: true}, false, false},
		{"lets requests of any layout in", Broken{Gate: true}, true, false},
		{"keeps nothing in the trash", Broken{Trash: true}, false, true},
		{"answers before it has synced", Broken{Sync: true}, false, false},
		{"puts a file in place and does not sync the folder", Broken{Folder: true}, true, false},
		{"puts a file in place whose bytes are not synced", Broken{Bytes: true}, false, false},
		{"compares no files with entries after a crash", Broken{Check: true}, false, false},
		{"takes up files after a crash without reading them", Broken{Found: true}, true, false},
		{"takes a bad copy for good", Broken{Verify: true}, true, false},
		{"takes an empty disk for the one before", Broken{Empty: true}, false, false},
		{"serves though another process holds its ID", Broken{Claim: true}, true, false},
	} {
		if c.rare && *breaking < rareSeeds {
			continue
		}
		failed, results := runAll(1, *breaking, Options{Broken: c.broken, Forgets: c.forget})
		if failed == 0 {
			t.Errorf("a node %s, and that is not found in %d runs", c.name, *breaking)
			continue
		}
		t.Logf("a node %s: found with the seed %d: %.120s", c.name, failed, results[failed].Failure)
	}
}
