package capture

import "sync"

// tracker knows which transactions the sink holds and how far all of them are
// acknowledged. Acknowledgements come in any order (each partition of the topic
// has its own pace), while PostgreSQL understands a single position: the end of
// the longest row of complete transactions. One tracker lives as long as one
// connection, so late acknowledgements of an earlier one cannot move it.
type tracker struct {
	mu        sync.Mutex
	open      []*transaction // in commit order
	confirmed uint64
	err       error
	failed    chan struct{} // closed with the first err
}

// transaction counts its records that are not acknowledged yet. Until its commit
// has been seen it counts one more, so that it cannot complete early.
type transaction struct {
	t       *tracker
	pending int
	end     uint64
}

func newTracker() *tracker { return &tracker{failed: make(chan struct{})} }

func (t *tracker) begin() *transaction {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := &transaction{t: t, pending: 1}
	t.open = append(t.open, x)
	return x
}

func (x *transaction) add() {
	x.t.mu.Lock()
	x.pending++
	x.t.mu.Unlock()
}

// commit closes the transaction, which ends at this position of the WAL.
func (x *transaction) commit(end uint64) {
	x.t.mu.Lock()
	x.end = end
	x.t.mu.Unlock()
	x.ack(nil)
}

func (x *transaction) ack(err error) {
	t := x.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.fail(err)
		return // stays pending for ever: nothing after it can be confirmed
	}
	x.pending--
	for len(t.open) > 0 && t.open[0].pending == 0 {
		t.confirmed = max(t.confirmed, t.open[0].end)
		t.open[0] = nil
		t.open = t.open[1:]
	}
}

func (t *tracker) fail(err error) {
	if t.err == nil {
		t.err = err
		close(t.failed)
	}
}

// stop is fail from outside.
func (t *tracker) stop(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fail(err)
}

func (t *tracker) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// idle moves the position forward while nothing is open: all WAL up to here held nothing for us.
func (t *tracker) idle(lsn uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.open) == 0 {
		t.confirmed = max(t.confirmed, lsn)
	}
}

func (t *tracker) position() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.confirmed
}
