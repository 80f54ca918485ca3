package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

// anyName is the name of a value in maps, where any name may be.
const anyName = "any-name"

// silent are the commands that have no answer: what they run or write is no answer of a server.
var silent = []string{"man", "nodes", "standalone"}

// lines are the command lines of all commands with an answer.
var lines = map[string]string{
	"bucket allow": "photos --read --key laptop", "bucket create": "photos", "bucket delete": "photos", "bucket deny": "photos --read --group staff",
	"bucket info": "photos", "bucket open": "photos --yes", "key create": "laptop", "key delete": "laptop", "key import": "laptop GKX abcdefgh12345678", "key info": "laptop",
	"explain": "laptop GET photos/cat.jpg", "layout assign": "node", "layout lost": "node --yes", "layout remove": "node", "layout replication": "3", "layout revert": "2",
	"metadata restore": "snapshot", "metadata verify": "snapshot", "migrate": "--from 127.0.0.1:1 --endpoint http://127.0.0.1:2",
}

// TestEveryCommandAnswersInJSON runs each command against a server whose answers have a value in each field. A new command without --json fails it,
// and so does a field that is not written, or not documented.
func TestEveryCommandAnswersInJSON(t *testing.T) {
	address, _ := answering(t)
	t.Setenv("GARAGE_ADMIN", address)
	t.Setenv("GARAGE_ADMIN_TOKEN", "token-of-the-tests")
	t.Setenv(sourceTokenEnv, "token-of-the-source")
	known := map[string]bool{}
	for _, cmd := range allCommands(newRoot(&bytes.Buffer{}, &bytes.Buffer{})) {
		path := pathOf(cmd)
		if path == "" || slices.Contains(silent, path) || cmd.HasSubCommands() && answers[path] == nil {
			continue
		}
		known[path] = true
		t.Run(path, func(t *testing.T) {
			require.NotNil(t, answers[path], "the command has no line in answers")
			var out, errOut bytes.Buffer
			args := append(strings.Fields(path), append(strings.Fields(lines[path]), "--json")...)
			execute(newRoot(&out, &errOut), args)
			var answer any
			require.NoError(t, json.Unmarshal(out.Bytes(), &answer), "%s%s", &out, &errOut)
			said := map[field]bool{}
			walk(said, "", answer)
			documented := map[field]bool{}
			for _, f := range fieldsOf(cmd) {
				as := field{path: f.path, kind: f.kind}
				documented[as] = true
				if f.always && f.kind != "number or text" && f.kind != "time" {
					require.True(t, said[as], "the answer lacks %v: %s", f, &out)
				}
			}
			for f := range said {
				switch {
				case documented[f], documented[field{path: f.path, kind: "number or text"}], f.kind == "text" && documented[field{path: f.path, kind: "time"}]:
				default:
					t.Errorf("the answer has %v, which is not documented: %s", f, &out)
				}
			}
		})
	}
	for path := range answers {
		require.True(t, known[path], "%s is no command", path)
	}
}

// walk lists the fields of a JSON value.
func walk(said map[field]bool, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if name == anyName {
				name = "*"
			}
			walk(said, strings.TrimPrefix(path+"."+name, "."), value)
		}
	case []any:
		for _, value := range v {
			walk(said, path+"[]", value)
		}
	case bool:
		said[field{path: path, kind: "true or false"}] = true
	case float64:
		said[field{path: path, kind: "number"}] = true
	case string:
		said[field{path: path, kind: "text"}] = true
	}
}

// TestWhatIsNotShownIsNotAskedFor keeps commands that ask again and again cheap.
func TestWhatIsNotShownIsNotAskedFor(t *testing.T) {
	for path, want := range map[string][]proto.Message{
		"status":           {&adminv1.GetStatusRequest{}, &adminv1.GetPartitionsRequest{CountsOnly: true}},
		"rebalance status": {&adminv1.GetStatusRequest{NodesOnly: true}},
	} {
		address, asked := answering(t)
		t.Setenv("GARAGE_ADMIN", address)
		t.Setenv("GARAGE_ADMIN_TOKEN", "token-of-the-tests")
		execute(newRoot(&bytes.Buffer{}, &bytes.Buffer{}), strings.Fields(path))
		for _, w := range want {
			got := <-asked
			require.True(t, proto.Equal(w, got), "%s: %v", path, got)
		}
		require.Empty(t, asked, path)
	}
}

// answering starts a server that answers every call with a message in which each field has a value, and returns its address and what it is asked.
func answering(t *testing.T) (address string, asked chan proto.Message) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	asked = make(chan proto.Message, 1000)
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		full, _ := grpc.MethodFromServerStream(stream)
		name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(full, "/"), "/", "."))
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
		if err != nil {
			return err
		}
		method := d.(protoreflect.MethodDescriptor)
		request := emptyOf(method.Input())
		if err := stream.RecvMsg(request); err != nil {
			return err
		}
		asked <- request
		answer := emptyOf(method.Output())
		fill(answer.ProtoReflect(), 0)
		return stream.SendMsg(answer)
	}))
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); require.NoError(t, <-served) })
	return listener.Addr().String(), asked
}

func emptyOf(d protoreflect.MessageDescriptor) proto.Message {
	found, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		panic(err)
	}
	return found.New().Interface()
}

// fill gives each field of a message a value.
func fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case depth > 6 || f.Name() == "more" || f.Name() == "next": // there is one page
		case f.IsList():
			list := m.Mutable(f).List()
			if f.Message() == nil {
				list.Append(scalar(f))
				continue
			}
			fill(list.AppendMutable().Message(), depth+1)
		case f.IsMap():
			m.Mutable(f).Map().Set(scalar(f.MapKey()).MapKey(), scalar(f.MapValue()))
		case f.Message() != nil:
			fill(m.Mutable(f).Message(), depth+1)
		default:
			m.Set(f, scalar(f))
		}
	}
}

func scalar(f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.StringKind:
		if f.ContainingMessage().IsMapEntry() && f.Number() == 1 {
			return protoreflect.ValueOfString(anyName)
		}
		return protoreflect.ValueOfString("text")
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte("0123456789abcdef"))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(2)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(7)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(7)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(7)
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(7)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(7)
	}
	panic(fmt.Sprint("a field of kind ", f.Kind()))
}

func TestManualPagesAreTheSameEachTimeAndCoverEveryCommand(t *testing.T) {
	var pages [2]map[string]string
	for i := range pages {
		folder := filepath.Join(t.TempDir(), "man")
		require.Zero(t, execute(newRoot(&bytes.Buffer{}, &bytes.Buffer{}), []string{"man", folder}))
		files, err := os.ReadDir(folder)
		require.NoError(t, err)
		pages[i] = map[string]string{}
		for _, f := range files {
			content, err := os.ReadFile(filepath.Join(folder, f.Name()))
			require.NoError(t, err)
			pages[i][f.Name()] = string(content)
		}
	}
	require.Equal(t, pages[0], pages[1])
	for _, cmd := range allCommands(newRoot(&bytes.Buffer{}, &bytes.Buffer{})) {
		name := pageName(cmd) + ".1"
		require.Contains(t, pages[0], name)
		require.Contains(t, pages[0][name], `.TH "`+strings.ToUpper(pageName(cmd))+`" "1" "" "garage `, "the title has no date")
		for _, f := range fieldsOf(cmd) {
			require.Contains(t, pages[0][name], "\n"+strings.ReplaceAll(f.path, "-", `\-`)+"  "+f.kind, name)
		}
	}
	require.Contains(t, pages[0]["garage-bucket-allow.1"], `\fB--person string\fP`)
}

func TestNoFlagIsLeftWithoutAWord(t *testing.T) {
	for _, cmd := range allCommands(newRoot(&bytes.Buffer{}, &bytes.Buffer{})) {
		require.NotEmpty(t, cmd.Short, cmd.CommandPath())
		require.False(t, strings.HasSuffix(cmd.Short, "."), "%s: a short description is no sentence", cmd.CommandPath())
	}
}
