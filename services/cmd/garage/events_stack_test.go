//go:build stack

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"deuxfleurs.fr/garage/pkg/adminserver"
	adminv1 "deuxfleurs.fr/garage/proto/garage/admin/v1"
)

func TestWhatHappenedIsToldByAnyRebalancer(t *testing.T) { runCluster(t, "events.txtar") }

// invoke calls a method of the admin API of a program with a request in JSON, and returns its answer in JSON without spaces between.
func (c *machines) invoke(ts *testscript.TestScript, name, method, request string) (string, error) {
	address, err := os.ReadFile(filepath.Join(c.named(ts, name).data, adminserver.AddressFile))
	if err != nil {
		return "", err
	}
	conn, err := adminserver.Dial(adminserver.DialConfig{Address: strings.TrimSpace(string(address)), Token: ts.Getenv("GARAGE_ADMIN_TOKEN")})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	service := adminv1.File_garage_admin_v1_admin_proto.Services().Get(0)
	m := service.Methods().ByName(protoreflect.Name(method))
	in, out := message(ts, m.Input()), message(ts, m.Output())
	ts.Check(protojson.Unmarshal([]byte(request), in))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := conn.Invoke(ctx, fmt.Sprintf("/%s/%s", service.FullName(), method), in, out); err != nil {
		return "", err
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(out)
	if err != nil {
		return "", err
	}
	var compact bytes.Buffer // protojson puts spaces where it likes
	err = json.Compact(&compact, text)
	return compact.String(), err
}

func message(ts *testscript.TestScript, d protoreflect.MessageDescriptor) proto.Message {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	ts.Check(err)
	return kind.New().Interface()
}

// call NAME METHOD REQUEST PATTERN calls a method until the answer has the pattern.
func (c *machines) call(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile(args[3])
	ts.Check(poll(2*patience, func() error {
		answer, err := c.invoke(ts, args[0], args[1], args[2])
		if err == nil && !pattern.MatchString(answer) {
			err = fmt.Errorf("%s of %s does not answer %q, but:\n%.4000s", args[1], args[0], args[3], answer)
		}
		return err
	}))
}

// count NAME METHOD REQUEST PATTERN N looks how often the answer has the pattern.
func (c *machines) count(ts *testscript.TestScript, _ bool, args []string) {
	answer, err := c.invoke(ts, args[0], args[1], args[2])
	ts.Check(err)
	n, err := strconv.Atoi(args[4])
	ts.Check(err)
	if found := len(regexp.MustCompile(args[3]).FindAllString(answer, -1)); found != n {
		ts.Fatalf("the answer has %q %d times, not %d:\n%s", args[3], found, n, answer)
	}
}
