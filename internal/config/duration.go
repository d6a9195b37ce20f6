package config

import (
	"fmt"
	"reflect"
	"time"

	"github.com/alecthomas/kong"

	"github.com/brimline/brimline/internal/present"
)

// Durations has a command line, the environment and a file give durations as rules files do: 90d, 1w, 1d12h.
func Durations() kong.Option {
	return kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(readDuration))
}

func readDuration(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("duration")
	if err != nil {
		return err
	}
	d, err := present.ParseDuration(fmt.Sprint(token.Value))
	if err == nil {
		target.SetInt(int64(d))
	}
	return err
}
