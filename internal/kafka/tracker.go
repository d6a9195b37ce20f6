package kafka

import (
	"sort"
	"sync"
)

// lowWater knows which messages of one claim were handed out and which of them
// are finished, and from that the offset before which all are. Offsets may have
// gaps (compaction, transaction markers), so what was handed out is remembered.
type lowWater struct {
	mu      sync.Mutex
	pending []handed // ascending offsets; pending[0] is never finished
}

type handed struct {
	offset   int64
	finished bool
	metadata string
}

// started notes that the message at offset was handed out. Calls come in ascending order.
func (w *lowWater) started(offset int64) {
	w.mu.Lock()
	w.pending = append(w.pending, handed{offset: offset})
	w.mu.Unlock()
}

// finished notes that the message at offset is done. If that completes a prefix, it returns the offset to
// mark, the one after the prefix, with the metadata of its last message. A message that was never handed out, or
// is already below the mark, changes nothing.
func (w *lowWater) finished(offset int64, metadata string) (mark int64, meta string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := sort.Search(len(w.pending), func(i int) bool { return w.pending[i].offset >= offset })
	if i == len(w.pending) || w.pending[i].offset != offset {
		return 0, "", false
	}
	w.pending[i].finished, w.pending[i].metadata = true, metadata
	n := 0
	for n < len(w.pending) && w.pending[n].finished {
		n++
	}
	if n == 0 {
		return 0, "", false
	}
	last := w.pending[n-1]
	w.pending = append(w.pending[:0], w.pending[n:]...) // short: what is in flight
	return last.offset + 1, last.metadata, true
}
