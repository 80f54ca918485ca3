package main

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// answers says what each command writes with --json: a value of that type, or with a slice a list of them. Field names are
// those of the json tags and stay as they are: scripts read them. Manual pages list them.
var answers = map[string]any{
	"bucket allow":       grantJSON{},
	"bucket create":      bucketJSON{},
	"bucket delete":      deletedJSON{},
	"bucket deny":        grantJSON{},
	"bucket info":        bucketInfoJSON{},
	"bucket open":        openedJSON{},
	"bucket list":        []bucketJSON{},
	"bucket usage":       usageJSON{},
	"collect":            []nodeTaskJSON{},
	"collect start":      []nodeTaskJSON{},
	"collect status":     []nodeTaskJSON{},
	"collect stop":       []nodeTaskJSON{},
	"doctor":             doctorJSON{},
	"events":             eventsJSON{},
	"explain":            explainJSON{},
	"key create":         keyJSON{},
	"key delete":         deletedJSON{},
	"key import":         keyJSON{},
	"key info":           keyJSON{},
	"key list":           []keyJSON{},
	"layout apply":       layoutJSON{},
	"layout assign":      []layoutNodeJSON{},
	"layout drop":        stagedJSON{},
	"layout history":     []historyJSON{},
	"layout lost":        lostJSON{},
	"layout plan":        planJSON{},
	"layout remove":      stagedJSON{},
	"layout replication": stagedJSON{},
	"layout revert":      stagedJSON{},
	"layout show":        layoutShowJSON{},
	"metadata restore":   snapshotJSON{},
	"metadata snapshot":  snapshotJSON{},
	"metadata snapshots": []snapshotJSON{},
	"metadata verify":    snapshotJSON{},
	"migrate":            migrationJSON{},
	"rebalance start":    []nodeTaskJSON{},
	"rebalance status":   []nodeTaskJSON{},
	"rebalance stop":     []nodeTaskJSON{},
	"repair":             []nodeTaskJSON{},
	"repair report":      damageJSON{},
	"repair start":       []nodeTaskJSON{},
	"repair status":      []nodeTaskJSON{},
	"repair stop":        []nodeTaskJSON{},
	"scrub start":        []nodeTaskJSON{},
	"scrub status":       []nodeTaskJSON{},
	"scrub stop":         []nodeTaskJSON{},
	"status":             statusJSON{},
	"version":            versionJSON{},
}

// pathOf is how a command is called, without the program's name.
func pathOf(cmd *cobra.Command) string {
	_, path, _ := strings.Cut(cmd.CommandPath(), " ")
	return path
}

// field is a value somewhere in an answer.
type field struct {
	path string // such as nodes[].tasks[].done; * stands for any name
	kind string // such as "number"
	// always is that an answer has it, if the lists around it are not empty.
	always bool
}

// fieldsOf lists what a command may answer, or nothing for one that has no answer.
func fieldsOf(cmd *cobra.Command) []field {
	v, ok := answers[pathOf(cmd)]
	if !ok {
		return nil
	}
	return appendFields(nil, "", reflect.TypeOf(v), true)
}

func appendFields(all []field, path string, t reflect.Type, always bool) []field {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return append(all, field{path, "time", always})
	case t.Kind() == reflect.Pointer:
		return appendFields(all, path, t.Elem(), false)
	case t.Kind() == reflect.Map:
		return appendFields(all, path+".*", t.Elem(), always)
	case t.Kind() == reflect.Slice:
		return appendFields(all, path+"[]", t.Elem(), always)
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if !f.IsExported() && !f.Anonymous {
				continue
			}
			name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
			always := always && option == ""
			switch {
			case f.Anonymous && name == "":
				all = appendFields(all, path, f.Type, always)
			case path == "":
				all = appendFields(all, name, f.Type, always)
			default:
				all = appendFields(all, path+"."+name, f.Type, always)
			}
		}
		return all
	}
	return append(all, field{path, kindText(t.Kind()), always})
}

func kindText(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Interface:
		return "number or text"
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint64, reflect.Float64:
		return "number"
	}
	panic(fmt.Sprintf("an answer has a field of kind %v, which has no text", k))
}
