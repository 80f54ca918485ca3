package telemetry

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// maxSpanText bounds texts in spans, in bytes.
const maxSpanText = 1 << 10

// cleaning hands on spans with texts that every collector takes: those of errors may have names in them that clients chose, and one
// that is no UTF-8 would lose the whole batch.
type cleaning struct{ sdk.SpanProcessor }

// OnEnd implements sdk.SpanProcessor.
func (c cleaning) OnEnd(s sdk.ReadOnlySpan) {
	status := s.Status()
	status.Description = Clip(status.Description, maxSpanText)
	events := slices.Clone(s.Events())
	for i := range events {
		events[i].Attributes = cleanAll(events[i].Attributes)
	}
	c.SpanProcessor.OnEnd(clean{ReadOnlySpan: s, attributes: cleanAll(s.Attributes()), status: status, events: events})
}

// clean is a span with other texts.
type clean struct {
	sdk.ReadOnlySpan
	attributes []attribute.KeyValue
	status     sdk.Status
	events     []sdk.Event
}

func (c clean) Attributes() []attribute.KeyValue { return c.attributes }
func (c clean) Status() sdk.Status               { return c.status }
func (c clean) Events() []sdk.Event              { return c.events }

func cleanAll(all []attribute.KeyValue) []attribute.KeyValue {
	all = slices.Clone(all)
	for i, a := range all {
		switch a.Value.Type() {
		case attribute.STRING:
			all[i].Value = attribute.StringValue(Clip(a.Value.AsString(), maxSpanText))
		case attribute.STRINGSLICE:
			texts := a.Value.AsStringSlice()
			for j := range texts {
				texts[j] = Clip(texts[j], maxSpanText)
			}
			all[i].Value = attribute.StringSliceValue(texts)
		}
	}
	return all
}
