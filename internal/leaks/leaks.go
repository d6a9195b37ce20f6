// Package leaks is for tests that leave no goroutine behind.
package leaks

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long goroutines have to end. Clients of Kafka end theirs after Close has returned; goleak itself
// gives them less than half a second, which a busy machine does not.
const patience = 30 * time.Second

// Left are the goroutines that do not end; nil where there are none. options say which are none of the test's.
func Left(options ...goleak.Option) error {
	// It has one goroutine for all of sarama's metrics, for ever.
	options = append(options, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
	for deadline := time.Now().Add(patience); ; {
		if err := goleak.Find(options...); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// Main is for TestMain: it fails where tests have left goroutines.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := Left(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
