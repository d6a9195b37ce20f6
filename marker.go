package brimline

// Marker holds for all users of one partition. The group table keeps it under a key that is no user's.
type Marker struct {
	// TruncatedAt is the offset after the newest TRUNCATE of the watched table, 0 before the first. Users whose
	// Window.Last is not above it have no rows any more, but for those that are newer in the source.
	TruncatedAt int64
	// Truncation is where that TRUNCATE stands in the source, nil where that is not known.
	Truncation *Truncation
	// Sweeps are the newest sweeps, by Offset.
	Sweeps []Swept
}

// Last is the offset after the newest message that the marker has taken up, 0 for none: of two markers of a partition,
// the one with the higher Last is the newer one.
func (m *Marker) Last() int64 {
	last := m.TruncatedAt
	if n := len(m.Sweeps); n > 0 {
		last = max(last, m.Sweeps[n-1].Offset+1)
	}
	return last
}

// Swept is a sweep: it forgets users who have nothing from a time on, if a whole sweep has passed since their last
// message.
type Swept struct {
	Offset int64 // of its message
	Before Time
}
