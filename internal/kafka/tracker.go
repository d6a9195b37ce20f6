package kafka

import (
	"sort"
	"sync"
)

// lowWater knows which messages of one claim were handed out and which of them
// are finished, and from that the offset before which all are. Offsets may have
// gaps (compaction, control records), so what was handed out is remembered.
type lowWater struct {
	mu      sync.Mutex
	pending []handed // ascending offsets from pending[done:] on, whose first is never finished
	done    int      // so many at the start are finished; they are removed when they are as many as the others
	next    int64    // offsets below it have been handed out
}

type handed struct {
	offset   int64
	finished bool
	metadata string
}

// started notes that the message at offset was handed out. Calls come in ascending order; repeated ones are ignored.
func (w *lowWater) started(offset int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if offset < w.next {
		return
	}
	w.next = offset + 1
	w.pending = append(w.pending, handed{offset: offset})
}

// finished notes that the message at offset is done. If that completes a prefix, it returns the offset to
// mark, the one after the prefix, with the metadata of its last message. A message that was never handed out, or
// is already below the mark, changes nothing.
func (w *lowWater) finished(offset int64, metadata string) (mark int64, meta string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	open := w.pending[w.done:]
	i := find(open, offset)
	if i < 0 {
		return 0, "", false
	}
	open[i].finished, open[i].metadata = true, metadata
	n := 0
	for n < len(open) && open[n].finished {
		n++
	}
	if n == 0 {
		return 0, "", false
	}
	last := open[n-1]
	w.remove(n)
	return last.offset + 1, last.metadata, true
}

// find gives the index of offset, -1 if it is not there. Without gaps it is the distance from the first one.
func find(open []handed, offset int64) int {
	if len(open) == 0 || offset < open[0].offset {
		return -1
	}
	limit := int(min(offset-open[0].offset, int64(len(open)-1))) // gaps only bring it nearer
	if open[limit].offset == offset {
		return limit
	}
	i := sort.Search(limit, func(i int) bool { return open[i].offset >= offset })
	if open[i].offset != offset {
		return -1
	}
	return i
}

// remove forgets the first n open ones, in constant time on average.
func (w *lowWater) remove(n int) {
	w.done += n
	if rest := w.pending[w.done:]; len(rest) <= w.done {
		w.pending = append(w.pending[:0], rest...)
		w.done = 0
	}
}
