package config

import (
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// EnvPrefix begins the name of every environment variable that is a setting.
const EnvPrefix = "GARAGE_"

const configFlag = "config"

// Loader fills one struct. Make one with New, give its flags to a command, and call Load once the
// command line has been parsed.
type Loader struct {
	target     reflect.Value
	fields     []*field
	byKey      map[string]*field
	flags      *pflag.FlagSet
	configFile string
	source     map[string]string // by key: where the value came from
	unknownEnv []string
}

// New makes a Loader for the struct that target points to, which holds the defaults. It panics when
// the struct has a field that cannot be configured, which is a mistake in the program.
func New(target any) *Loader {
	l := &Loader{target: reflect.ValueOf(target).Elem(), byKey: map[string]*field{}, source: map[string]string{}}
	l.fields = fields(l.target, "")
	for _, f := range l.fields {
		l.byKey[f.key] = f
	}
	return l
}

// AddFlags defines --config and a flag for every setting that is not a secret.
func (l *Loader) AddFlags(fs *pflag.FlagSet) {
	l.flags = fs
	fs.StringVar(&l.configFile, configFlag, "", "YAML file with settings (environment: "+EnvPrefix+"CONFIG)")
	for _, f := range l.fields {
		if f.secret {
			continue
		}
		flag := fs.VarPF(&flagValue{field: f, text: f.text()}, f.flag(), "", f.help)
		if f.value.Kind() == reflect.Bool {
			flag.NoOptDefVal = "true"
		}
	}
}

// flagValue keeps the text given on the command line; Load gives it to the field in its turn.
type flagValue struct {
	field *field
	text  string
}

func (v *flagValue) Set(text string) error { v.text = text; return nil }
func (v *flagValue) String() string        { return v.text }
func (v *flagValue) Type() string          { return v.field.typeName() }

// Load reads the sources in order and checks the result. environ is in the form of os.Environ.
func (l *Loader) Load(environ []string) error {
	fromEnv, err := l.readEnv(environ)
	if err != nil {
		return err
	}
	if err := l.loadFile(); err != nil {
		return err
	}
	if err := l.apply(fromEnv, func(f *field) string { return "environment variable " + f.env() }); err != nil {
		return err
	}
	if l.flags != nil {
		if err := l.loadFlags(); err != nil {
			return err
		}
	}
	return l.validate(l.target, "")
}

// UnknownEnv lists the GARAGE_ variables that are no setting of this program, sorted.
func (l *Loader) UnknownEnv() []string { return l.unknownEnv }

// Source says where a setting's value came from: "default", or words such as "flag --data".
func (l *Loader) Source(key string) string {
	if s, ok := l.source[key]; ok {
		return s
	}
	return "default"
}

func (l *Loader) loadFile() error {
	if l.configFile == "" {
		return nil
	}
	k := koanf.New(".")
	if err := k.Load(file.Provider(l.configFile), yaml.Parser()); err != nil {
		return fmt.Errorf("configuration file %s: %w", l.configFile, err)
	}
	values := k.All()
	for key, v := range values {
		if l.byKey[key] != nil {
			continue
		}
		if v == nil && l.isSection(key) { // an empty section
			delete(values, key)
			continue
		}
		return fmt.Errorf("configuration file %s: unknown setting %q; known settings: %s", l.configFile, key, l.similar(key))
	}
	return l.apply(values, func(f *field) string { return "configuration file " + l.configFile })
}

func (l *Loader) readEnv(environ []string) (map[string]any, error) {
	byEnv := map[string]string{}
	for _, f := range l.fields {
		byEnv[f.env()] = f.key
	}
	k := koanf.New(".")
	err := k.Load(env.Provider(".", env.Opt{
		Prefix:      EnvPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			if name == EnvPrefix+"CONFIG" {
				if l.configFile == "" {
					l.configFile = value
				}
				return "", nil
			}
			key := byEnv[name]
			if key == "" {
				l.unknownEnv = append(l.unknownEnv, name)
			}
			if value == "" { // as if it were not there, which is how many tools leave a variable out
				return "", nil
			}
			return key, value
		},
	}), nil)
	if err != nil {
		return nil, fmt.Errorf("environment: %w", err)
	}
	sort.Strings(l.unknownEnv)
	return k.All(), nil
}

func (l *Loader) loadFlags() error {
	byFlag := map[string]*field{}
	for _, f := range l.fields {
		byFlag[f.flag()] = f
	}
	k := koanf.New(".")
	err := k.Load(posflag.ProviderWithFlag(l.flags, ".", nil, func(flag *pflag.Flag) (string, any) {
		f := byFlag[flag.Name]
		if f == nil || !flag.Changed {
			return "", nil
		}
		return f.key, flag.Value.String()
	}), nil)
	if err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	return l.apply(k.All(), func(f *field) string { return "flag --" + f.flag() })
}

// apply sets the values of one source in the order of the struct, so that errors are always the same.
func (l *Loader) apply(values map[string]any, source func(*field) string) error {
	for _, f := range l.fields {
		raw, ok := values[f.key]
		if !ok {
			continue
		}
		if err := f.set(raw); err != nil {
			return fmt.Errorf("setting %s (from %s): %s is not valid: want %w", f.key, source(f), f.show(raw), err)
		}
		l.source[f.key] = source(f)
	}
	return nil
}

func (f *field) show(raw any) string {
	if f.secret {
		return "the value"
	}
	return fmt.Sprintf("%q", fmt.Sprint(raw))
}

// InvalidError says that a setting's value cannot be used. Key is relative to the struct whose
// Validate returned it.
type InvalidError struct {
	Key    string
	Reason string
}

// Error is seen only when a Validate is called outside Load.
func (e *InvalidError) Error() string { return "setting " + e.Key + ": " + e.Reason }

// Invalid makes the error that a Validate method returns for one of its settings.
func Invalid(key, format string, args ...any) error {
	return &InvalidError{Key: key, Reason: fmt.Sprintf(format, args...)}
}

// validate calls Validate on the struct and its sections, inner ones first.
func (l *Loader) validate(v reflect.Value, prefix string) error {
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		name, ok := sf.Tag.Lookup("conf")
		if !ok || sf.Type.Kind() != reflect.Struct || l.byKey[prefix+name] != nil {
			continue
		}
		section := prefix + name + "."
		if name == "" {
			section = prefix
		}
		if err := l.validate(v.Field(i), section); err != nil {
			return err
		}
	}
	checker, ok := v.Addr().Interface().(interface{ Validate() error })
	if !ok {
		return nil
	}
	err := checker.Validate()
	var invalid *InvalidError
	if errors.As(err, &invalid) {
		key := prefix + invalid.Key
		return fmt.Errorf("setting %s (from %s): %s", key, l.Source(key), invalid.Reason)
	}
	return err
}

func (l *Loader) isSection(key string) bool {
	for _, f := range l.fields {
		if strings.HasPrefix(f.key, key+".") {
			return true
		}
	}
	return false
}

// similar lists the settings of the section that key names, or all when there is no such section.
func (l *Loader) similar(key string) string {
	section := ""
	if i := strings.LastIndexByte(key, '.'); i >= 0 && l.isSection(key[:i]) {
		section = key[:i+1]
	}
	var keys []string
	for _, f := range l.fields {
		if strings.HasPrefix(f.key, section) {
			keys = append(keys, f.key)
		}
	}
	sort.Strings(keys)
	return strings.Join(keys, ", ")
}
