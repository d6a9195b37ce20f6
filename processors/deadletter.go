package processors

import (
	"errors"

	"github.com/brimline/brimline"
)

// Stranger is the remedy where a topic of the group's own has a record that is none of brimline's.
const Stranger = "find out what else writes to this topic: it is brimline's own"

// NewDeadLetter completes a letter, of which the record is known, with what err says of it: its kind, what happened,
// and the remedy. Where err is no brimline.Error, the letter's own kind and remedy stay.
func NewDeadLetter(letter brimline.DeadLetter, err error) *brimline.DeadLetter {
	letter.Error = err.Error()
	if e, ok := errors.AsType[*brimline.Error](err); ok {
		letter.Kind, letter.Error, letter.Remedy = e.Kind, e.Err.Error(), e.Remedy
	}
	return &letter
}
