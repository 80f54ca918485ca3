package console

// effect is what a method of the admin API does.
type effect int

const (
	// reads: pages may call it by themselves, which is no use of the session by its operator.
	reads effect = iota + 1
	// changes, or lays a secret open.
	changes
)

// Changes reports whether a method of the admin API may change something, or lay a secret open: all do that are not known to only read.
func Changes(method string) bool { return effects[method] != reads }

// effects has every method of the admin API: one that is not here cannot be called, and a test fails.
var effects = map[string]effect{
	"GetStatus":          reads,
	"GetLayout":          reads,
	"PlanLayout":         reads,
	"ListDamaged":        reads,
	"ListKeys":           reads,
	"ListBuckets":        reads,
	"GetBucket":          reads,
	"GetPartitions":      reads,
	"GetTraffic":         reads,
	"ListEvents":         reads,
	"ExplainAccess":      reads,
	"Diagnose":           reads,
	"BucketUsageHistory": reads,

	"GetKey":         changes,
	"CreateKey":      changes,
	"ImportKey":      changes,
	"DeleteKey":      changes,
	"CreateBucket":   changes,
	"DeleteBucket":   changes,
	"OpenBucket":     changes,
	"AllowBucket":    changes,
	"DenyBucket":     changes,
	"AssignNode":     changes,
	"RemoveNode":     changes,
	"SetReplication": changes,
	"ApplyLayout":    changes,
	"DropLayout":     changes,
	"StageLayout":    changes,
	"DeclareLost":    changes,
	"CommandNodes":   changes,
}
