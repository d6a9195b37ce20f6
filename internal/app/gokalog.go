package app

import (
	"fmt"
	"log/slog"
)

// gokaLog passes goka's reports on at debug level. What an operator should
// hear comes back as the error of an attempt, or is said by the app itself.
type gokaLog struct{ log *slog.Logger }

func (l gokaLog) Print(v ...any)   { l.log.Debug(fmt.Sprint(v...), "by", "goka") }
func (l gokaLog) Println(v ...any) { l.log.Debug(fmt.Sprint(v...), "by", "goka") }
func (l gokaLog) Printf(format string, v ...any) {
	l.log.Debug(fmt.Sprintf(format, v...), "by", "goka")
}
