package move

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"deuxfleurs.fr/garage/pkg/errors"
	"deuxfleurs.fr/garage/pkg/meta"
)

// reads are the methods of a store that change nothing. All others must pass the gate.
var reads = map[string]bool{
	"Attempts": true, "Bucket": true, "Chunks": true, "Info": true, "Key": true, "List": true, "ListBuckets": true, "ListKeys": true,
	"ListParts": true, "ListUploads": true, "Object": true, "Upload": true, "Usage": true,
}

func TestEveryMethodThatWritesPassesTheGate(t *testing.T) {
	store := reflect.TypeFor[meta.Store]()
	closed := reflect.ValueOf(ReadOnly(nil)) // what reaches the store panics
	for method := range store.Methods() {
		if reads[method.Name] {
			continue
		}
		call := closed.MethodByName(method.Name)
		var args []reflect.Value
		for in := range call.Type().Ins() {
			args = append(args, reflect.Zero(in))
		}
		var results []reflect.Value
		require.NotPanics(t, func() {
			if call.Type().IsVariadic() {
				results = call.CallSlice(args)
			} else {
				results = call.Call(args)
			}
		}, method.Name)
		err, failed := results[len(results)-1].Interface().(error)
		require.True(t, failed && errors.Is(err, errors.PermissionDenied), "%s: %v", method.Name, err)
	}
}
