package app

import (
	"context"
	"errors"
	"sync"
)

// visits keeps goka's visits within one generation. A visit of goka's that
// begins while its partitions are being stopped sends on a closed channel, and the panic ends the process.
type visits struct {
	mu      sync.Mutex
	allowed context.Context // ends with the generation; nil between generations
	cancel  context.CancelFunc
	running sync.WaitGroup
	// recalled says that the table of all partitions of the generation was looked through for users to ask about.
	recalled bool
}

var errNoPartitions = errors.New("partitions are being shared out")

// allow begins a generation.
func (v *visits) allow() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.allowed, v.cancel = context.WithCancel(context.Background())
}

// end ends it, and waits for the visits in it.
func (v *visits) end() {
	v.mu.Lock()
	if v.allowed != nil {
		v.cancel()
		v.allowed = nil
	}
	v.mu.Unlock()
	v.running.Wait()
	v.setRecalled(false)
}

func (v *visits) setRecalled(to bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.recalled = to
}

// isRecalled is false between generations, and before the first: which partitions there are is not known then.
func (v *visits) isRecalled() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.allowed != nil && v.recalled
}

// visit calls f, whose context ends with ctx and with the generation.
func (v *visits) visit(ctx context.Context, f func(context.Context) error) error {
	v.mu.Lock()
	allowed := v.allowed
	if allowed == nil {
		v.mu.Unlock()
		return errNoPartitions
	}
	v.running.Add(1)
	v.mu.Unlock()
	defer v.running.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(allowed, cancel)()
	return f(ctx)
}
