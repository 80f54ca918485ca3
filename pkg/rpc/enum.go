package rpc

import (
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// EnumText is an enum's value as people and programs read it: TASK_LONG_COLLECTION is "long collection". The enum has its value 0 named …_UNSPECIFIED,
// as all of Garage's have, and a value that it does not name is a number.
func EnumText(value protoreflect.Enum) string {
	values := value.Descriptor().Values()
	named := values.ByNumber(value.Number())
	if named == nil {
		return strconv.Itoa(int(value.Number()))
	}
	prefix := strings.TrimSuffix(string(values.ByNumber(0).Name()), "UNSPECIFIED")
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(string(named.Name()), prefix)), "_", " ")
}
