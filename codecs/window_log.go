package codecs

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/brimline/brimline"
)

// maxSegments is far more than a user can have: rows are bounded in bytes.
const maxSegments = 1 << 24

// Older segments are the first number, how many there are, and the checksum in 4 bytes.
func appendOlder(b []byte, s *brimline.Segments) []byte {
	b = binary.AppendUvarint(b, s.First)
	b = binary.AppendUvarint(b, s.Next-s.First)
	return binary.BigEndian.AppendUint32(b, s.Check)
}

func (r *wireReader) older() (s brimline.Segments) {
	s.First = r.uvarint()
	n := r.uvarint()
	if s.Next = s.First + n; n > maxSegments || s.Next < s.First {
		r.fail(fmt.Errorf("%d segments from number %d", n, s.First))
		return s
	}
	if check := r.bytes(4); check != nil {
		s.Check = binary.BigEndian.Uint32(check)
	}
	if s.Next == 0 { // which is written as nothing
		r.fail(errors.New("segments up to number 0"))
	}
	return s
}

// Rows of older segments that are gone are their ids.
func appendGone(b []byte, ids []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for _, id := range ids {
		b = appendID(b, id)
	}
	return b
}

func (r *wireReader) gone() []string {
	n := r.count(minGone)
	if n == 0 {
		return nil
	}
	ids := make([]string, n)
	for i := range ids {
		ids[i] = r.id()
	}
	return ids
}

// Edges of older segments that are forgotten are, of each rule in turn, their times as differences.
func appendForgotten(b []byte, rules []brimline.RuleState) []byte {
	for i := range rules {
		b = binary.AppendUvarint(b, uint64(len(rules[i].Forgotten)))
		last := brimline.Time(0)
		for _, t := range rules[i].Forgotten {
			b = appendVarint(b, t-last)
			last = t
		}
	}
	return b
}

func (r *wireReader) forgotten(rules []brimline.RuleState) {
	for i := range rules {
		n := r.count(1)
		if n == 0 {
			continue
		}
		times := make([]brimline.Time, n)
		last := brimline.Time(0)
		for at := range times {
			last += brimline.Time(r.varint())
			times[at] = last
		}
		rules[i].Forgotten = times
	}
}
