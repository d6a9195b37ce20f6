package codecs

import (
	"encoding/binary"
	"fmt"

	"github.com/brimline/brimline"
)

// How a row's half byte says the two parts of its stamp.
const (
	lsnVarint = 3
	lagMore   = 1 << 2
	lagLess   = 2 << 2
	lagVarint = 3 << 2
)

// tickOf is a row's own time in the ticks of stamps.
func tickOf(row *brimline.Row) int64 { return int64(row.Time) >> 16 }

// Stamps are the life of the first row's, doubled, with one more where all LSNs are multiples of 8, as PostgreSQL's
// are, and are kept as eighths. Then each row has half a byte, the even ones the lower half: how many bytes its LSN
// takes (0 for 2, 1 for 3, 2 for 4 bytes, 3 for a varint), and above it how the ticks differ (0 not, 1 by one more, 2
// by one less, 3 by a varint). Then come, for each row, the LSN and the ticks of its commit time since the row's own
// time, both as differences to the row before, and the life, if not all are of the same one. Last comes a bit for each
// row, if any is a snapshot's.
func appendStamps(b []byte, rows []brimline.Row, flags uint64) []byte {
	var (
		bits, lastLSN uint64
		lastLag       int64
	)
	for i := range rows {
		bits |= rows[i].Stamp.LSN
	}
	head, shift := uint64(rows[0].Stamp.Life())<<1, 0
	if bits&7 == 0 {
		head, shift = head|1, 3
	}
	b = binary.AppendUvarint(b, head)
	halves := len(b)
	for range (len(rows) + 1) / 2 {
		b = append(b, 0)
	}
	for i := range rows {
		s := &rows[i].Stamp
		var half byte
		lsn := s.LSN >> shift
		switch delta := lsn - lastLSN; {
		case delta < 1<<16:
			b = append(b, byte(delta), byte(delta>>8))
		case delta < 1<<24:
			half = 1
			b = append(b, byte(delta), byte(delta>>8), byte(delta>>16))
		case delta < 1<<32:
			half = 2
			b = append(b, byte(delta), byte(delta>>8), byte(delta>>16), byte(delta>>24))
		default:
			half = lsnVarint
			b = binary.AppendVarint(b, int64(delta))
		}
		lag := s.Ticks() - tickOf(&rows[i])
		switch lag - lastLag {
		case 0:
		case 1:
			half |= lagMore
		case -1:
			half |= lagLess
		default:
			half |= lagVarint
			b = binary.AppendVarint(b, lag-lastLag)
		}
		b[halves+i/2] |= half << (i % 2 * 4)
		lastLSN, lastLag = lsn, lag
		if flags&windowLives != 0 {
			b = binary.AppendUvarint(b, uint64(s.Life()))
		}
	}
	if flags&windowSnapshots == 0 {
		return b
	}
	for at := range rows {
		if at%8 == 0 {
			b = append(b, 0)
		}
		if rows[at].Stamp.Snapshot() {
			b[len(b)-1] |= 1 << (at % 8)
		}
	}
	return b
}

func (r *wireReader) stamps(rows []brimline.Row, flags uint64) {
	var (
		head   = r.uvarint()
		shift  = head & 1 * 3
		halves = r.bytes(uint64(len(rows)+1) / 2)
		lsn    uint64
		lag    int64
	)
	if r.err != nil {
		return
	}
	for i := range rows {
		half := halves[i/2] >> (i % 2 * 4)
		if half&3 == lsnVarint {
			lsn += uint64(r.varint())
		} else {
			delta := uint64(0)
			for at, b := range r.bytes(uint64(half&3) + 2) {
				delta |= uint64(b) << (8 * at)
			}
			lsn += delta
		}
		switch half & lagVarint {
		case lagMore:
			lag++
		case lagLess:
			lag--
		case lagVarint:
			lag += r.varint()
		}
		life := head >> 1
		if flags&windowLives != 0 {
			life = r.uvarint()
		}
		ticks := lag + tickOf(&rows[i])
		if rows[i].Stamp = brimline.MakeStamp(lsn<<shift, ticks, uint32(life)); r.err == nil &&
			(life != uint64(rows[i].Stamp.Life()) || ticks != rows[i].Stamp.Ticks()) {
			r.fail(fmt.Errorf("a stamp of life %d and %d ticks", life, ticks))
		}
	}
	if flags&windowSnapshots == 0 {
		return
	}
	for at, bits := range r.bytes(uint64(len(rows)+7) / 8) {
		for i := 8 * at; i < min(8*at+8, len(rows)); i++ {
			if bits>>(i%8)&1 != 0 {
				rows[i].Stamp = rows[i].Stamp.OfSnapshot()
			}
		}
	}
}
