package config

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/brimline/brimline/internal/urls"
	"github.com/dustin/go-humanize"
)

// Bytes is an amount of memory, written like 256MiB or 1GB.
type Bytes uint64

// Clients and the tables' own buffers take more than the least; above the most something is mistyped.
const (
	minMemory Bytes = 64 << 20
	maxMemory Bytes = 1 << 40
)

// UnmarshalText reads a number with or without a unit.
func (b *Bytes) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil {
		return fmt.Errorf("%s is not a size like 256MiB", urls.Shown(string(text)))
	}
	*b = Bytes(n)
	return nil
}

func (b Bytes) String() string { return humanize.IBytes(uint64(b)) }

// Keep has the garbage collector keep the process within b, unless the environment says otherwise. As long as it
// does, the heap may grow to several times of what is live, because collecting costs time.
func (b Bytes) Keep() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(b))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}
