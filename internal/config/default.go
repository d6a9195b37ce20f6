package config

import (
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/brimline/brimline/internal/present"
)

// Default is the configuration of someone who sets nothing, whatever the
// environment says. The defaults are those of the flags.
func Default() Config {
	var c Config
	setDefaults(reflect.ValueOf(&c).Elem())
	return c
}

func setDefaults(part reflect.Value) {
	for i := range part.NumField() {
		f, v := part.Type().Field(i), part.Field(i)
		if f.Anonymous {
			setDefaults(v)
			continue
		}
		text, ok := f.Tag.Lookup("default")
		if !ok {
			continue
		}
		switch v.Interface().(type) {
		case time.Duration:
			d, _ := present.ParseDuration(text) // a test parses every default
			v.SetInt(int64(d))
		case Bytes:
			_ = v.Addr().Interface().(*Bytes).UnmarshalText([]byte(text)) // as above
		case []string:
			v.Set(reflect.ValueOf(strings.Split(text, ",")))
		case int:
			n, _ := strconv.Atoi(text)
			v.SetInt(int64(n))
		default:
			v.SetString(text)
		}
	}
}
