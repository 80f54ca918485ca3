package config

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// field is one setting: a leaf of the target struct.
type field struct {
	key     string // dotted, as in the file
	flagTag string // the flag's name where it is not made of the key
	help    string
	secret  bool
	allowed []string
	min     string
	max     string
	value   reflect.Value
}

func (f *field) flag() string {
	if f.flagTag != "" {
		return f.flagTag
	}
	return strings.ReplaceAll(f.key, ".", "-")
}

func (f *field) env() string {
	return EnvPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(f.key))
}

var (
	unmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
	durationType    = reflect.TypeFor[time.Duration]()
)

// fields lists the leaves of a struct. A struct that cannot be configured is a mistake in the program.
func fields(v reflect.Value, prefix string) []*field {
	var all []*field
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		name, ok := sf.Tag.Lookup("conf")
		if !ok {
			continue
		}
		key := prefix + name
		leaf := reflect.PointerTo(sf.Type).Implements(unmarshalerType)
		if sf.Type.Kind() == reflect.Struct && !leaf {
			if name == "" { // an embedded section without a name of its own
				all = append(all, fields(v.Field(i), prefix)...)
			} else {
				all = append(all, fields(v.Field(i), key+".")...)
			}
			continue
		}
		f := &field{key: key, flagTag: sf.Tag.Get("flag"), help: sf.Tag.Get("help"), secret: sf.Tag.Get("secret") == "true",
			min: sf.Tag.Get("min"), max: sf.Tag.Get("max"), value: v.Field(i)}
		if a := sf.Tag.Get("allowed"); a != "" {
			f.allowed = strings.Split(a, ",")
		}
		if f.help == "" {
			panic("config: setting " + key + " has no help text")
		}
		all = append(all, f)
	}
	return all
}

// typeName is what help shows as the kind of value.
func (f *field) typeName() string {
	switch {
	case len(f.allowed) > 0:
		return strings.Join(f.allowed, "|")
	case f.value.Type() == durationType:
		return "duration"
	case f.value.Type() == reflect.TypeFor[Size]():
		return "size"
	case reflect.PointerTo(f.value.Type()).Implements(unmarshalerType):
		return "string"
	case f.value.Kind() == reflect.Slice:
		return "list"
	case f.value.Kind() == reflect.Bool:
		return "bool"
	case f.value.CanInt(), f.value.CanUint(), f.value.CanFloat():
		return "number"
	}
	return "string"
}

// set gives the field a value read from a source: a string, or what YAML makes of it.
func (f *field) set(raw any) error {
	if f.value.Kind() == reflect.Slice {
		return f.setSlice(raw)
	}
	text, err := scalar(raw)
	if err != nil {
		return err
	}
	if err := f.checkAllowed(text); err != nil {
		return err
	}
	if err := parse(f.value, text); err != nil {
		return err
	}
	return f.checkRange()
}

func (f *field) setSlice(raw any) error {
	var items []string
	switch raw := raw.(type) {
	case string:
		if raw != "" {
			items = strings.Split(raw, ",")
		}
	case []any:
		for _, item := range raw {
			text, err := scalar(item)
			if err != nil {
				return err
			}
			items = append(items, text)
		}
	default:
		return errors.New("a list")
	}
	out := reflect.MakeSlice(f.value.Type(), len(items), len(items))
	for i, item := range items {
		item = strings.TrimSpace(item)
		if err := f.checkAllowed(item); err != nil {
			return err
		}
		if err := parse(out.Index(i), item); err != nil {
			return err
		}
	}
	f.value.Set(out)
	return nil
}

// scalar is the text of a single value.
func scalar(raw any) (string, error) {
	switch raw := raw.(type) {
	case string:
		return raw, nil
	case []any, map[string]any, nil:
		return "", errors.New("a single value")
	case float64:
		return strconv.FormatFloat(raw, 'f', -1, 64), nil
	default:
		return fmt.Sprint(raw), nil
	}
}

func (f *field) checkAllowed(text string) error {
	if len(f.allowed) == 0 {
		return nil
	}
	for _, a := range f.allowed {
		if a == text {
			return nil
		}
	}
	return errors.New("one of " + strings.Join(f.allowed, ", "))
}

// checkRange compares the value with the tags min and max, which are written as the value would be.
func (f *field) checkRange() error {
	if f.min != "" && compare(f.value, f.bound(f.min)) < 0 {
		return errors.New("at least " + f.min)
	}
	if f.max != "" && compare(f.value, f.bound(f.max)) > 0 {
		return errors.New("at most " + f.max)
	}
	return nil
}

func (f *field) bound(text string) reflect.Value {
	v := reflect.New(f.value.Type()).Elem()
	if err := parse(v, text); err != nil {
		panic(fmt.Sprintf("config: the bound %q of %s: want %v", text, f.key, err))
	}
	return v
}

func compare(a, b reflect.Value) int {
	switch {
	case a.CanInt():
		return cmp.Compare(a.Int(), b.Int())
	case a.CanUint():
		return cmp.Compare(a.Uint(), b.Uint())
	case a.CanFloat():
		return cmp.Compare(a.Float(), b.Float())
	}
	panic("config: min and max are for numbers, sizes and durations")
}

// parse reads text into v; its error says what is allowed.
func parse(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	if v.Type() == durationType {
		d, err := time.ParseDuration(text)
		if err != nil {
			return errors.New("a duration with its unit, such as 500ms, 30s, 10m or 24h")
		}
		v.SetInt(int64(d))
		return nil
	}
	switch {
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("true or false")
		}
		v.SetBool(b)
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return errors.New("a whole number")
		}
		v.SetInt(n)
	case v.CanUint():
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			return errors.New("a whole number, not negative")
		}
		v.SetUint(n)
	case v.CanFloat():
		n, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil {
			return errors.New("a number")
		}
		v.SetFloat(n)
	default:
		panic("config: fields of type " + v.Type().String() + " cannot be set")
	}
	return nil
}

// text is the value as a person would write it. Identifiers that are all zeros are none.
func (f *field) text() string {
	if f.value.Kind() == reflect.Array && f.value.IsZero() {
		return ""
	}
	if f.value.Kind() == reflect.Slice {
		var items []string
		for i := range f.value.Len() {
			items = append(items, fmt.Sprint(f.value.Index(i).Interface()))
		}
		return strings.Join(items, ",")
	}
	return fmt.Sprint(f.value.Interface())
}
