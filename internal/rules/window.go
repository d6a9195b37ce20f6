package rules

import (
	"errors"
	"fmt"
	"time"

	"github.com/brimline/brimline/internal/present"
)

// MaxWindow bounds windows and lateness: ten years.
const MaxWindow = 3653 * 24 * time.Hour

// ParseWindow is present.ParseDuration for what is above zero and at most MaxWindow.
func ParseWindow(s string) (time.Duration, error) {
	d, err := present.ParseDuration(s)
	switch {
	case errors.Is(err, present.ErrTooLong) || d > MaxWindow:
		return 0, fmt.Errorf("duration %q is longer than ten years (%s)", s, present.Duration(MaxWindow))
	case err == nil && d == 0:
		return 0, fmt.Errorf("duration %q is not above zero", s)
	}
	return d, err
}
