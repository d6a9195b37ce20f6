package processors

import "time"

// Rarely decides when something that lasts is said again: at once, after a minute, and then after twice as long each
// time, at last every hour. The zero value is ready.
type Rarely struct {
	next  time.Time
	pause time.Duration
}

const (
	firstAgain   = time.Minute
	longestAgain = time.Hour
)

// Due reports whether it is to be said now, and takes it that it is.
func (r *Rarely) Due(now time.Time) bool {
	if now.Before(r.next) {
		return false
	}
	r.pause = min(max(2*r.pause, firstAgain), longestAgain)
	r.next = now.Add(r.pause)
	return true
}

// Over is for when it has passed: the next time is the first one again.
func (r *Rarely) Over() { *r = Rarely{} }
