package config

import (
	"io"
	"log/slog"

	"github.com/brimline/brimline/internal/present"
)

// Logger writes to w as Logging says. Its settings must have been checked. Durations are written for people in text,
// and in nanoseconds in JSON.
func (l *Logging) Logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(l.LogLevel)) // the zero value is info
	o := &slog.HandlerOptions{Level: level}
	if l.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	o.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.StringValue(present.Duration(a.Value.Duration()))
		}
		return a
	}
	return slog.New(slog.NewTextHandler(w, o))
}
