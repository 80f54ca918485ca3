package postform

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// Policy is a decoded policy document.
type Policy struct {
	expires    time.Time
	conditions []condition
	least      int64 // content-length-range
	most       int64 // negative: none
}

// condition is one on a field, eq or starts-with.
type condition struct {
	prefix bool
	field  string // lower-case, without "$"
	value  string
	text   string // as it stands in the document
}

func badPolicy(format string, args ...any) error {
	return s3err.InvalidPolicyDocument.Msg("Invalid Policy: "+format, args...)
}

func violates(format string, args ...any) error {
	return s3err.AccessDenied.Msg("Invalid according to Policy: "+format, args...)
}

// Policy decodes the form's policy document. Its errors carry S3's codes.
func (f *Form) Policy() (*Policy, error) {
	text, err := base64.StdEncoding.DecodeString(f.Get("policy"))
	if err != nil {
		return nil, badPolicy("the policy is not in base64.")
	}
	var doc struct {
		Expiration *string           `json:"expiration"`
		Conditions []json.RawMessage `json:"conditions"`
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&doc); err != nil {
		return nil, badPolicy("Invalid JSON.")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, badPolicy("Invalid JSON: something follows the document.")
	}
	if doc.Expiration == nil {
		return nil, badPolicy("Policy missing expiration.")
	}
	if doc.Conditions == nil {
		return nil, badPolicy("Policy missing conditions.")
	}
	p := &Policy{most: -1}
	if p.expires, err = time.Parse(time.RFC3339, *doc.Expiration); err != nil {
		return nil, badPolicy("Invalid 'expiration' value: '%s'", *doc.Expiration)
	}
	for _, raw := range doc.Conditions {
		if err := p.add(raw); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// add takes one condition, in the form of an object or of a list.
func (p *Policy) add(raw json.RawMessage) error {
	var object map[string]any
	if json.Unmarshal(raw, &object) == nil && object != nil {
		if len(object) != 1 {
			return badPolicy("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
		}
		for name, value := range object {
			text, ok := value.(string)
			if !ok {
				return badPolicy("Invalid Simple-Condition: the value of %s is not a string.", name)
			}
			quoted, _ := json.Marshal([]string{"eq", "$" + name, text})
			p.conditions = append(p.conditions, condition{field: strings.ToLower(name), value: text, text: string(quoted)})
		}
		return nil
	}
	var list []any
	if json.Unmarshal(raw, &list) != nil || len(list) != 3 {
		return badPolicy("Invalid Condition: a condition is an object or a list of three.")
	}
	op, ok := list[0].(string)
	if !ok {
		return badPolicy("Invalid Condition: the operator is not a string.")
	}
	op = strings.ToLower(op)
	if op == "content-length-range" {
		return p.addRange(list[1], list[2])
	}
	name, ok1 := list[1].(string)
	value, ok2 := list[2].(string)
	if !ok1 || !ok2 || !strings.HasPrefix(name, "$") || len(name) < 2 {
		return badPolicy("Invalid Condition: %s needs a field name beginning with $ and a string.", op)
	}
	if op != "eq" && op != "starts-with" {
		return badPolicy("Invalid Condition: unknown operation '%s'.", op)
	}
	p.conditions = append(p.conditions, condition{
		prefix: op == "starts-with", field: strings.ToLower(name[1:]), value: value, text: string(raw),
	})
	return nil
}

func (p *Policy) addRange(low, high any) error {
	least, ok1 := length(low)
	most, ok2 := length(high)
	if !ok1 || !ok2 || least > most {
		return badPolicy("Invalid content-length-range: it needs two numbers of bytes, the lower one first.")
	}
	p.least = max(p.least, least)
	if p.most < 0 || most < p.most {
		p.most = most
	}
	return nil
}

// length reads a number of bytes, which may be written as a string.
func length(v any) (int64, bool) {
	switch v := v.(type) {
	case float64:
		n := int64(v)
		return n, v >= 0 && v < 1<<53 && float64(n) == v
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil && n >= 0
	}
	return 0, false
}

// exempt are the fields that need no condition.
func exempt(lower string) bool {
	switch lower {
	case "x-amz-signature", "file", "policy":
		return true
	}
	return strings.HasPrefix(lower, "x-ignore-")
}

// Check compares the form, posted to a bucket at the time now, with its policy, and sets the limits of its file. Its
// errors carry S3's codes.
func (p *Policy) Check(f *Form, bucket string, now time.Time) error {
	if !now.Before(p.expires) {
		return violates("Policy expired.")
	}
	covered := map[string]bool{}
	for _, c := range p.conditions {
		covered[c.field] = true
		if !c.holds(f, bucket) {
			return violates("Policy Condition failed: %s", c.text)
		}
	}
	var extra []string
	for lower, v := range f.fields {
		if !covered[lower] && !exempt(lower) {
			extra = append(extra, v.name)
		}
	}
	if extra != nil {
		slices.Sort(extra)
		return violates("Extra input fields: %s", strings.Join(extra, ", "))
	}
	f.File.Limit(p.least, p.most)
	return nil
}

func (c condition) holds(f *Form, bucket string) bool {
	if c.field == "bucket" { // the bucket of the request, whatever a field says
		return c.matches(bucket)
	}
	v := f.fields[c.field]
	if c.field == "content-type" && c.prefix {
		for one := range strings.SplitSeq(v.value, ",") { // a list: each of them must match
			if !c.matches(strings.Trim(one, " ")) {
				return false
			}
		}
		return true
	}
	// The field as it will be; a policy may also ask for ${filename} itself.
	return c.matches(v.value) || !c.prefix && c.value == v.raw
}

func (c condition) matches(value string) bool {
	if c.prefix {
		return strings.HasPrefix(value, c.value)
	}
	return value == c.value
}
