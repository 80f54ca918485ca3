package metrics

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// span is one that was received.
type span struct {
	program, name string
	id, parent    string
	attributes    map[string]string
	began, ended  uint64
	failed        bool
}

// collector receives spans by OTLP over HTTP.
type collector struct {
	mu     sync.Mutex
	traces map[string][]span // by trace ID
}

func newCollector() *collector { return &collector{traces: map[string][]span{}} }

// listen serves on loopback, until stop is called, and returns the URL.
func (c *collector) listen() (url string, stop func() error, err error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: c, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	return "http://" + listener.Addr().String(), func() error {
		err := server.Close()
		<-served
		return err
	}, nil
}

// ServeHTTP takes an export.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var export collectorv1.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &export)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, "not an export of traces", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range export.GetResourceSpans() {
		program := ""
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				program = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				one := span{program: program, name: s.GetName(), id: hex.EncodeToString(s.GetSpanId()), parent: hex.EncodeToString(s.GetParentSpanId()),
					attributes: map[string]string{}, began: s.GetStartTimeUnixNano(), ended: s.GetEndTimeUnixNano(), failed: s.GetStatus().GetCode() == 2}
				for _, a := range s.GetAttributes() {
					one.attributes[a.GetKey()] = a.GetValue().GetStringValue()
				}
				id := hex.EncodeToString(s.GetTraceId())
				c.traces[id] = append(c.traces[id], one)
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// trace is what has come of a trace.
func (c *collector) trace(id string) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]span(nil), c.traces[id]...)
}

// ids are those of all traces.
func (c *collector) all() map[string][]span {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string][]span{}
	for id, spans := range c.traces {
		all[id] = append([]span(nil), spans...)
	}
	return all
}
