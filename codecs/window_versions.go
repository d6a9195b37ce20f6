package codecs

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/brimline/brimline"
)

// A version of a changed row is its id, partition, and offset and time as differences to the one before; then its
// lowest time as the difference to its time. Then come its life, doubled, with one more where a snapshot has found the
// row so, its LSN and commit time as differences to the one before, its transaction, and the highest LSN of timelines
// that were left.
func appendVersions(b []byte, versions []brimline.RowVersion) []byte {
	b = binary.AppendUvarint(b, uint64(len(versions)))
	var last brimline.RowVersion
	for i := range versions {
		b = appendVersion(b, &versions[i], &last)
		last = versions[i]
	}
	return b
}

func appendVersion(b []byte, v, last *brimline.RowVersion) []byte {
	b = appendText(b, v.ID)
	b = binary.AppendVarint(b, int64(v.Partition))
	b = binary.AppendVarint(b, v.Offset-last.Offset)
	b = binary.AppendVarint(b, int64(v.Time-last.Time))
	b = binary.AppendVarint(b, int64(v.From-v.Time))
	life := uint64(v.Life) << 1
	if v.Snapshot {
		life |= 1
	}
	b = binary.AppendUvarint(b, life)
	b = binary.AppendVarint(b, int64(v.LSN-last.LSN))
	b = binary.AppendVarint(b, int64(v.Commit-last.Commit))
	b = binary.AppendVarint(b, v.TxID)
	return binary.AppendUvarint(b, v.Former)
}

// versions reads them; those of the layout before today's end after the lowest time.
func (r *wireReader) versions(older bool) []brimline.RowVersion {
	size := minVersion
	if older {
		size /= 2
	}
	n := r.count(size)
	if n == 0 {
		return nil
	}
	versions := make([]brimline.RowVersion, n)
	var last brimline.RowVersion
	for i := range versions {
		last.ID = r.text()
		last.Partition = int32(r.varint())
		last.Offset += r.varint()
		last.Time += brimline.Time(r.varint())
		last.From = last.Time + brimline.Time(r.varint())
		if !older {
			life := r.uvarint()
			if last.Life, last.Snapshot = uint32(life>>1), life&1 != 0; life>>1 > math.MaxUint32 {
				r.fail(fmt.Errorf("life %d", life>>1))
			}
			last.LSN += uint64(r.varint())
			last.Commit += brimline.Time(r.varint())
			last.TxID = r.varint()
			last.Former = r.uvarint()
		}
		versions[i] = last
	}
	return versions
}
