package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/tools/cluster/local"
)

// slowStart is how long a chunk-node takes to start that has much to check.
const slowStart = 2 * time.Minute

// While one chunk-node takes its time to start, the next one is not replaced.
func TestAChunkNodeNeedsTwoMinutesToStart(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	once := filepath.Join(f.cluster.Data(), fmt.Sprintf("slow-start-%d", time.Now().UnixNano()))
	before := pids(f, local.JobChunkNode)
	s, w := f.strain(2), f.watchChunkNodes()
	begun := time.Now()
	require.NoError(t, f.cluster.Change(f.ctx, local.JobChunkNode, func(task map[string]any) {
		anew(task)
		config := task["Config"].(map[string]any)
		// The first time that node-2 starts it, and at no restart after that.
		script := `if [ "$SLOW_NODE" = node-2 ] && mkdir "$0" 2>/dev/null; then sleep "$1"; fi; shift; exec "$@"`
		program := config["command"]
		if program == "/bin/sh" { // it was changed by an earlier run
			args := config["args"].([]any)
			program = args[len(args)-1]
		}
		config["command"] = "/bin/sh"
		config["args"] = []any{"-c", script, once, fmt.Sprint(slowStart.Seconds()), program}
		task["Env"].(map[string]any)["SLOW_NODE"] = "${node.unique.name}"
	}))
	require.Greater(t, time.Since(begun), slowStart)
	_, err := os.Stat(once)
	require.NoError(t, err, "node-2 was not slow")
	w.oneByOne()
	for pid := range pids(f, local.JobChunkNode) {
		require.False(t, before[pid], "process %d still runs", pid)
	}
	s.more(100)
	s.allWell(0)
}
