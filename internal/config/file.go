package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/internal/urls"
	"go.yaml.in/yaml/v3"
)

// Places where the file is looked for when none is named, in order. The second
// is written by `brimline demo`, so that the other commands find the demo when
// they are called in the same directory.
const (
	FileHere = "brimline.yaml"
	FileDemo = ".brimline/demo.yaml"
)

// DemoMark begins the file that `brimline demo` writes.
const DemoMark = `# Written by "brimline demo"`

// File is a settings file that has been read.
type File struct {
	Path   string
	Demo   bool              // written by `brimline demo`
	values map[string]string // by flag name
}

// Value is the file's value of a setting, by the name of its flag.
func (f *File) Value(flag string) (string, bool) {
	if f == nil {
		return "", false
	}
	value, ok := f.values[flag]
	return value, ok
}

// Settings are types by the names of flags.
type Settings map[string]reflect.Type

// Find reads the file at path; with an empty path the first of FileHere and
// FileDemo that exists. It is nil, without error, when there is none to read.
// further are settings beside those of Config.
func Find(path string, further Settings) (*File, error) {
	if path != "" {
		return read(path, further)
	}
	for _, place := range []string{FileHere, FileDemo} {
		f, err := read(place, further)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return nil, nil
}

// read reads a file and checks all of its keys and the types of their values.
func read(path string, further Settings) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, &brimline.Error{
			Class: brimline.ClassInput, Kind: "config_file", Where: "settings file",
			Remedy: "name a file that exists and can be read with --config", Err: err,
		}
	}
	f := &File{Path: path, Demo: bytes.HasPrefix(text, []byte(DemoMark)), values: map[string]string{}}
	var problems []error
	problem := func(line int, format string, args ...any) {
		problems = append(problems, fmt.Errorf("%s:%d: %w", path, line, fmt.Errorf(format, args...)))
	}
	var doc yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, fileError(fmt.Errorf("%s: %s", path, withoutNames(err)))
	}
	if len(doc.Content) == 1 && doc.Content[0].Tag != "!!null" {
		root := doc.Content[0]
		if root.Kind != yaml.MappingNode {
			return nil, fileError(fmt.Errorf("%s:%d: not a list of settings, `name: value`", path, root.Line))
		}
		known := settings()
		maps.Copy(known, further)
		for i := 0; i+1 < len(root.Content); i += 2 {
			key, value := root.Content[i], root.Content[i+1]
			flag := strings.ReplaceAll(key.Value, "_", "-")
			field, ok := known[flag]
			switch {
			case !ok:
				problem(key.Line, "unknown setting %s%s", shownKey(key.Value), suggest(flag, known))
				continue
			case strings.Contains(key.Value, "-"):
				problem(key.Line, "unknown setting %q; in a file it is written %q", key.Value, strings.ReplaceAll(flag, "-", "_"))
				continue
			}
			if _, twice := f.values[flag]; twice {
				problem(key.Line, "%q is set twice", key.Value)
				continue
			}
			text, err := scalar(value, field)
			if err != nil {
				problem(value.Line, "%s: %w", key.Value, err)
				continue
			}
			f.values[flag] = text
		}
	}
	if len(problems) > 0 {
		return nil, fileError(errors.Join(problems...))
	}
	return f, nil
}

func fileError(err error) error {
	return &brimline.Error{Class: brimline.ClassInput, Kind: "config_file", Where: "settings file", Err: err}
}

// shownKey quotes an unknown setting, unless the space is missing between its name and its value.
func shownKey(key string) string {
	if strings.Contains(key, ":") {
		return "with a colon (not repeated here: it may hold a password); a setting is written `name: value`"
	}
	return urls.Shown(key)
}

// unknownAnchor is YAML's error about a value that begins with an asterisk, such as a password; it repeats the value.
var unknownAnchor = regexp.MustCompile(`unknown anchor '.*' referenced`)

func withoutNames(err error) string {
	return unknownAnchor.ReplaceAllString(err.Error(), "a value that begins with * must be in quotes")
}

// scalar gives a value as the flag would take it; lists are joined by commas.
func scalar(n *yaml.Node, field reflect.Type) (string, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n.Kind == yaml.SequenceNode && field.Kind() == reflect.Slice:
		parts := make([]string, len(n.Content))
		for i, item := range n.Content {
			text, err := scalar(item, field.Elem())
			if err != nil {
				return "", err
			}
			parts[i] = text
		}
		return strings.Join(parts, ","), nil
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null":
		return "", errors.New("expected a plain value")
	case field.Kind() == reflect.Slice:
		return n.Value, nil
	case field.Kind() == reflect.String:
		return n.Value, nil // also where YAML takes the bare word for something else: off, 1_000
	}
	if field == reflect.TypeFor[time.Duration]() {
		if _, err := present.ParseDuration(n.Value); err == nil || !urls.MayHoldSecret(n.Value) {
			return n.Value, err
		}
	}
	if err := n.Decode(reflect.New(field).Interface()); err != nil {
		return "", fmt.Errorf("expected a value such as %s, not %s", example(field), urls.Shown(n.Value))
	}
	return n.Value, nil
}

func example(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "15s"
	case t == reflect.TypeFor[Bytes]():
		return "256MiB"
	case t.Kind() == reflect.Bool:
		return "true"
	default:
		return "8"
	}
}

// settings are the types of all settings by flag name.
func settings() Settings {
	all := Settings{}
	var collect func(reflect.Type)
	collect = func(part reflect.Type) {
		for i := range part.NumField() {
			if f := part.Field(i); f.Anonymous {
				collect(f.Type)
			} else {
				all[flagName(f)] = f.Type
			}
		}
	}
	collect(reflect.TypeFor[Config]())
	return all
}

// flagName is how kong names a field.
func flagName(f reflect.StructField) string {
	if name := f.Tag.Get("name"); name != "" {
		return name
	}
	var b strings.Builder
	for i, r := range f.Name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

// suggest names the setting that shares the longest beginning, if it is long enough to be meant.
func suggest(name string, known Settings) string {
	best, length := "", 2
	names := make([]string, 0, len(known))
	for k := range known {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		n := 0
		for n < len(k) && n < len(name) && k[n] == name[n] {
			n++
		}
		if n > length {
			best, length = k, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", strings.ReplaceAll(best, "-", "_"))
}

// Validate is part of kong.Resolver; read has checked everything already.
func (f *File) Validate(*kong.Application) error { return nil }

// Resolve gives a flag its value from the file, unless the environment has
// one: kong asks resolvers after the environment and would let them win.
func (f *File) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Tag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil
		}
	}
	if value, ok := f.values[flag.Name]; ok {
		return value, nil
	}
	return nil, nil
}
