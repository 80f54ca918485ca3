package api

import (
	"net/url"
	"strconv"
	"strings"

	"deuxfleurs.fr/garage/services/s3-gateway/s3err"
)

// Query is the decoded query of a request, in the order received.
type Query []Param

// Param is a parameter of a query.
type Param struct{ Name, Value string }

func parseQuery(raw string) (Query, error) {
	if raw == "" {
		return nil, nil
	}
	q := make(Query, 0, strings.Count(raw, "&")+1)
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		n, err1 := url.QueryUnescape(name)
		v, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			return nil, s3err.InvalidURI
		}
		q = append(q, Param{n, v})
	}
	return q, nil
}

// Get is the first value of a parameter, or "".
func (q Query) Get(name string) string {
	v, _ := q.Lookup(name)
	return v
}

// Has reports whether a parameter is there, with or without a value.
func (q Query) Has(name string) bool {
	_, ok := q.Lookup(name)
	return ok
}

// Lookup is the first value of a parameter, and whether it is there.
func (q Query) Lookup(name string) (string, bool) {
	for _, p := range q {
		if p.Name == name {
			return p.Value, true
		}
	}
	return "", false
}

// Int is the number in a parameter, from lo to hi, or def if it is not there.
func (q Query) Int(name string, def, lo, hi int) (int, error) {
	v, ok := q.Lookup(name)
	if !ok || v == "" {
		return def, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, argument(name, v, "Provided %s not an integer or within integer range", name)
	}
	if n < lo || n > hi {
		return 0, argument(name, v, "Argument %s must be an integer between %d and %d", name, lo, hi)
	}
	return n, nil
}

// argument is an InvalidArgument error about a parameter or header.
func argument(name, value, format string, args ...any) error {
	return s3err.InvalidArgument.Msg(format, args...).With("ArgumentName", name).With("ArgumentValue", value)
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
