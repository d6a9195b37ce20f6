package window

import (
	"context"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/processors"
)

// doubted is a distrusted user of a partition.
type doubted struct {
	brimline.Doubt
	asked time.Time // when the fold was last told that it is time to ask again
}

// note keeps what the table says of a user that the clock has to do with.
func (p *partitionStates) note(user string, d brimline.Doubt, a brimline.Above) {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	p.noteDoubt(user, d)
	p.noteAbove(user, a)
}

// noteDoubt keeps a user's doubt. The caller holds States.mu.
func (p *partitionStates) noteDoubt(user string, d brimline.Doubt) {
	switch known, there := p.doubts[user]; {
	case d.Offset == 0:
		delete(p.doubts, user)
	case !there || known.Doubt != d:
		p.doubts[user] = doubted{Doubt: d}
	}
}

// Recall finds the users of partitions that were taken over with whom the clock has to do, and those for whom there was
// no room. It must end before a partition is given back.
func (s *States) Recall(ctx context.Context) error {
	for _, p := range s.open() {
		more := s.hasRoom(p)
		if p.recalled && !more {
			continue
		}
		if err := p.recall(ctx); err != nil {
			s.mu.Lock()
			p.more = p.more || more
			s.mu.Unlock()
			return err
		}
		s.mu.Lock()
		p.recalled = true
		s.mu.Unlock()
	}
	return nil
}

// Recalled says whether all users with whom the clock has to do are known, but for those for whom there was no room.
func (s *States) Recalled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.of {
		if !p.closed && !p.recalled {
			return false
		}
	}
	return true
}

// hasRoom says whether there is room for users who were left out, and that there are some. They are taken to be in.
func (s *States) hasRoom(p *partitionStates) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.more || s.above >= mostAbove {
		return false
	}
	p.more = false
	return true
}

func (s *States) open() (all []*partitionStates) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.of {
		if !p.closed {
			all = append(all, p)
		}
	}
	return all
}

// recall walks the table. Only the values that have a doubt, or an Above, are decoded.
func (p *partitionStates) recall(ctx context.Context) error {
	values, err := p.table.Iterator()
	if err != nil {
		return err
	}
	defer values.Release()
	for values.Next() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		user := string(values.Key())
		if _, _, segment := processors.ParseSegmentKey(user); segment || processors.IsMarker(user) {
			continue
		}
		value, err := values.Value()
		if err != nil {
			return err
		}
		if !codecs.WindowIsTimed(value) {
			continue
		}
		decoded, err := codecs.WindowPart{}.Decode(value)
		if err != nil {
			continue // whoever folds it next says so
		}
		w := decoded.(*brimline.Window)
		p.all.mu.Lock() // what the fold has noted is newer
		if _, known := p.doubts[user]; !known && w.Doubt.Offset != 0 {
			p.doubts[user] = doubted{Doubt: w.Doubt}
		}
		if _, known := p.above[user]; !known && !p.closed {
			p.noteAbove(user, w.Above)
		}
		p.all.mu.Unlock()
	}
	return values.Err()
}

// toldAgain is after how long the fold is told once more what it has not heeded.
const toldAgain = 30 * time.Second

// Due are messages for the changes stream, by user: it is time to ask PostgreSQL again about those who were distrusted.
func (s *States) Due(now time.Time) map[string]any {
	due := map[string]any{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.of {
		for user, d := range p.doubts {
			at, more := d.Next()
			if p.closed || !more || at.Std().After(now) || now.Sub(d.asked) < toldAgain {
				continue
			}
			d.asked = now
			p.doubts[user] = d
			due[user] = &brimline.Change{Kind: brimline.AskAgain, User: user, Cause: d.Offset, Index: d.Doubt.Asked + 1}
		}
	}
	return due
}

// Distrusted tells how many users there are for whom PostgreSQL answers because of a distrust: the longest rule's
// window reaches down to the rows that were forgotten. The user who was distrusted last is an example.
func (s *States) Distrusted(now brimline.Time, longest time.Duration) (n int, user string, example brimline.Doubt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.of {
		for id, d := range p.doubts {
			if p.closed || d.Floor < now.Add(-longest) {
				continue
			}
			if n++; n == 1 || d.At > example.At || d.At == example.At && id < user {
				user, example = id, d.Doubt
			}
		}
	}
	return n, user, example
}
