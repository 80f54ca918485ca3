package console

import (
	"google.golang.org/protobuf/proto"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// effect is what a method of the admin API does.
type effect int

const (
	reads effect = iota + 1
	changes
	// reveals may answer with a secret.
	reveals
)

// effects has every method of the admin API: one that is not here cannot be called, and a test fails.
var effects = map[string]effect{
	"GetStatus":   reads,
	"GetLayout":   reads,
	"PlanLayout":  reads,
	"ListDamaged": reads,
	"ListKeys":    reads,
	"ListBuckets": reads,
	"GetBucket":   reads,

	"GetPartitions":      reads,
	"GetTraffic":         reads,
	"ListEvents":         reads,
	"ExplainAccess":      reads,
	"BucketUsageHistory": reads,

	"GetKey": reveals,

	"CreateKey":      changes,
	"ImportKey":      changes,
	"DeleteKey":      changes,
	"CreateBucket":   changes,
	"DeleteBucket":   changes,
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

// audited tells whether the audit log has a call with that request.
func audited(method string, request proto.Message) bool {
	if effects[method] == reads {
		return false
	}
	if get, ok := request.(*adminv1.GetKeyRequest); ok {
		return get.GetShowSecret()
	}
	return true
}
