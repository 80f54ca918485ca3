package doctor

import (
	"fmt"

	"deuxfleurs.fr/garage/pkg/layout"
	"deuxfleurs.fr/garage/pkg/rpc"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
	chunknodev1 "deuxfleurs.fr/garage/proto/garage/chunknode/v1"
)

const (
	// unevenBy is how much fuller than the others together a node may be, and unevenFrom where that begins to matter.
	unevenBy, unevenFrom = 0.25, 0.50
	// usableLeast is the share of the capacity that copies in different zones should be able to use.
	usableLeast = 0.75
)

// layouts looks whether the layout keeps copies apart, is carried out, and fills nodes evenly.
func layouts(f *Facts, found add) {
	if f.Status == nil {
		return
	}
	if f.Status.GetLayout() == 0 {
		found(Error, "", "see which nodes there are: garage layout show; then garage layout assign --all, garage layout plan and garage layout apply", "no layout is in force: nothing can be stored")
		return
	}
	copies(f, found)
	room := f.Layout.GetCurrent()
	if all := capacity(room); room.GetReplication() > 0 && all > 0 {
		if share := float64(room.GetUsable()) * float64(room.GetReplication()) / float64(all); share < usableLeast {
			found(Warning, "", "give zones about the same capacity: garage layout plan shows what cannot be used", "of the capacity only %.0f %% can be used, since copies go to different zones", 100*share)
		}
	}
	uneven(f, found)
	transition(f, found)
	for _, n := range f.Status.GetNodes() {
		if n.GetState() == adminv1.NodeState_NODE_STATE_NEW {
			found(Note, "chunk-node "+n.GetId(), "to use it: garage layout assign "+n.GetId(), "it is alive and holds nothing, since no layout has it")
		}
	}
	if s := f.Layout.GetStaged(); s.GetReplication() != 0 || len(s.GetAssign())+len(s.GetRemove()) > 0 {
		found(Note, "", "garage layout plan, then garage layout apply or garage layout drop", "a change is staged, and not in force")
	}
}

// copies looks at how many there are, and whether they are apart.
func copies(f *Facts, found add) {
	zones, nodes := map[string]bool{}, 0
	for _, n := range f.Status.GetNodes() {
		if n.GetPartitions() > 0 {
			zones[n.GetZone()] = true
			nodes++
		}
	}
	want := int(f.Status.GetReplication())
	switch {
	case nodes <= 1: // one machine, as the operator wanted it
	case want == 1:
		found(Warning, "", "keep more copies: garage layout replication 3, then garage layout plan and apply", "there is one copy of each chunk: a disk that dies takes its data with it")
	case nodes < want:
		found(Error, "", "add nodes: garage layout assign", "%d copies are wanted of each chunk, and %d nodes hold data", want, nodes)
	case len(zones) < want:
		found(Warning, "", "put nodes into more zones (sites), or keep fewer copies: garage layout assign --zone, garage layout replication",
			"%d copies are in %d zones: some are in the same one, and a site that is lost takes several", want, len(zones))
	}
}

func capacity(l *adminv1.Layout) (all uint64) {
	for _, n := range l.GetNodes() {
		if n.GetCapacity() == layout.AutoCapacity {
			all += uint64(n.GetTokens()) * layout.BytesPerToken
			continue
		}
		all += n.GetCapacity()
	}
	return all
}

// uneven looks for nodes that are much fuller than the others together.
func uneven(f *Facts, found add) {
	var used, size int64
	count := 0
	for _, n := range f.Status.GetNodes() {
		if n.GetAlive() && n.GetPartitions() > 0 && n.GetCapacity() > 0 {
			used, size, count = used+n.GetCapacity()-n.GetFree(), size+n.GetCapacity(), count+1
		}
	}
	if count < 2 || f.Status.GetOldestLayout() != f.Status.GetLayout() { // while data moves it need not be even
		return
	}
	for _, n := range f.Status.GetNodes() {
		if !n.GetAlive() || n.GetPartitions() == 0 || n.GetCapacity() <= 0 || size == n.GetCapacity() {
			continue
		}
		own := n.GetCapacity() - n.GetFree()
		share, others := float64(own)/float64(n.GetCapacity()), float64(used-own)/float64(size-n.GetCapacity())
		if share > unevenFrom && share-others > unevenBy {
			found(Warning, "chunk-node "+n.GetId(), "assign the nodes again with the capacity that they have: garage layout assign, garage layout plan",
				"it is %.0f %% full, and the others together are %.0f %%: the layout does not fit the disks", 100*share, 100*others)
		}
	}
}

// startOf is the command that has a task go on.
var startOf = map[chunknodev1.Task]string{
	chunknodev1.Task_TASK_REBALANCE: "rebalance start", chunknodev1.Task_TASK_REPAIR: "repair start", chunknodev1.Task_TASK_SCRUB: "scrub start",
	chunknodev1.Task_TASK_COLLECTION: "collect start", chunknodev1.Task_TASK_LONG_COLLECTION: "collect start --long",
}

// transition looks whether what the layout wants is under way.
func transition(f *Facts, found add) {
	states := map[string]*adminv1.Node{}
	for _, n := range f.Status.GetNodes() {
		states[n.GetId()] = n
		for _, t := range n.GetTasks() {
			task := rpc.EnumText(t.GetStatus().GetTask())
			if t.GetStatus().GetState() == chunknodev1.TaskState_TASK_STATE_STUCK {
				found(Error, "chunk-node "+n.GetId(), "the reason says what is in its way; garage status shows whether it goes on", "its %s cannot go on: %s", task, orUnknown(t.GetStatus().GetNote()))
			}
			if t.GetStatus().GetState() == chunknodev1.TaskState_TASK_STATE_STOPPED {
				found(Warning, "chunk-node "+n.GetId(), "let it go on when it should: garage "+startOf[t.GetStatus().GetTask()], "its %s was stopped", task)
			}
		}
	}
	for _, w := range f.Status.GetWaiting() {
		n := states[w.GetNode()]
		what := fmt.Sprintf("layout %d waits for it: %s", w.GetLayout(), w.GetReason())
		if n != nil && n.GetAlive() {
			found(Note, "chunk-node "+w.GetNode(), "nothing, while it makes progress: garage rebalance status --watch", "%s", what)
			continue
		}
		found(Error, "chunk-node "+w.GetNode(), "start it; if it will not come back: garage layout lost "+w.GetNode(), "%s, and it is away", what)
	}
}
