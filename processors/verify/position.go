package verify

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
)

// position is where a partition stands: what is below next has been handled, up to the watermark's cause, but for the
// messages at the open offsets, which are kept back.
type position struct {
	next      int64 // none if below 0
	watermark brimline.Cause
	open      []int64 // ascending, below next
}

// committed is the offset to commit: a reader that begins there reads all that has not been handled.
func (p *position) committed() int64 {
	if len(p.open) > 0 {
		return p.open[0]
	}
	return p.next
}

// A committed position with open offsets travels in the metadata as version:offset:index:next:open. The first three are
// the watermark's, with a version of its own, so that a program which does not know open offsets stops instead of
// handling them as new ones. open is base64 of varints, each offset as the difference to the one before, the first
// being the committed one.
const openVersion = "2"

// mostMetadata fits the broker's default of offset.metadata.max.bytes, 4096.
const mostMetadata = 4000

func (p *position) metadata() string {
	watermark := formatWatermark(p.watermark)
	if len(p.open) == 0 {
		return watermark
	}
	var open []byte
	for i := 1; i < len(p.open); i++ {
		open = binary.AppendUvarint(open, uint64(p.open[i]-p.open[i-1]))
	}
	_, cause, _ := strings.Cut(watermark, ":")
	return fmt.Sprintf("%s:%s:%d:%s", openVersion, cause, p.next, base64.RawURLEncoding.EncodeToString(open))
}

// parsePosition reads what was committed.
func parsePosition(offset int64, metadata string) (p position, err error) {
	version, rest, _ := strings.Cut(metadata, ":")
	if version != openVersion {
		p.next = offset
		p.watermark, err = parseWatermark(metadata)
		return p, err
	}
	fail := func() (position, error) { return position{}, foreignMetadata(metadata) }
	parts := strings.Split(rest, ":")
	if len(parts) != 4 {
		return fail()
	}
	if p.watermark, err = parseWatermark(watermarkVersion + ":" + parts[0] + ":" + parts[1]); err != nil {
		return fail()
	}
	next, err := strconv.ParseInt(parts[2], 10, 64)
	open, err2 := base64.RawURLEncoding.DecodeString(parts[3])
	if err != nil || err2 != nil {
		return fail()
	}
	p.next, p.open = next, []int64{offset}
	for len(open) > 0 {
		more, n := binary.Uvarint(open)
		last := p.open[len(p.open)-1]
		if n <= 0 || more == 0 || more > uint64(next-last) {
			return fail()
		}
		open, p.open = open[n:], append(p.open, last+int64(more))
	}
	if p.open[len(p.open)-1] >= next {
		return fail()
	}
	return p, nil
}

// with is the position after the batch.
func (p *position) with(b *batch) position {
	after := *p
	if b.long {
		after.open = slices.DeleteFunc(slices.Clone(p.open), func(offset int64) bool {
			_, handled := slices.BinarySearchFunc(b.messages, offset, byOffset)
			return handled
		})
		return after
	}
	after.next, after.watermark = b.messages[len(b.messages)-1].Offset+1, b.watermark
	after.open = slices.Clone(p.open)
	for _, m := range b.keptBack {
		after.open = append(after.open, m.Offset)
	}
	return after
}

func byOffset(m *kgo.Record, offset int64) int { return int(m.Offset - offset) }
