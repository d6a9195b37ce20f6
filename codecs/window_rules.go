package codecs

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/brimline/brimline"
)

// A rule is its fingerprint in 8 bytes and its edges: time and cause as differences to the edge before, then the
// status. Its quiet time follows, if any rule has one.
func appendRules(b []byte, rules []brimline.RuleState, flags uint64) []byte {
	b = binary.AppendUvarint(slices.Grow(b, binary.MaxVarintLen64+minRule*len(rules)), uint64(len(rules)))
	for i := range rules {
		rule := &rules[i]
		b = binary.BigEndian.AppendUint64(b, rule.Rule)
		b = binary.AppendUvarint(b, uint64(len(rule.Edges)))
		if len(rule.Edges) == 0 && flags&windowQuiet == 0 {
			continue
		}
		var last brimline.Edge
		for _, e := range rule.Edges {
			b = binary.AppendUvarint(b, uint64(e.Time-last.Time))
			b = binary.AppendVarint(b, e.Cause.Offset-last.Cause.Offset)
			b = binary.AppendVarint(b, int64(e.Cause.Index))
			b = append(b, byte(e.Status))
			last = e
		}
		if flags&windowQuiet != 0 {
			b = binary.AppendVarint(b, int64(rule.Quiet))
		}
	}
	return b
}

func (r *wireReader) rules(flags uint64) []brimline.RuleState {
	n := r.count(minRule)
	if n == 0 {
		return nil
	}
	rules := r.spare
	if cap(rules) < n {
		rules = make([]brimline.RuleState, n)
	}
	rules = rules[:n]
	for i := range rules {
		rule := &rules[i]
		if rule.Quiet = 0; rule.Edges != nil || rule.Forgotten != nil || rule.Unjudged != nil {
			*rule = brimline.RuleState{}
		}
		if flags&windowQuiet == 0 && len(r.b) >= minRule && r.b[minRule-1] == 0 { // most have no edges
			rule.Rule = binary.BigEndian.Uint64(r.b)
			r.b = r.b[minRule:]
			continue
		}
		rule.Rule = r.fixed64()
		rules[i].Edges = r.edges()
		if flags&windowQuiet != 0 {
			rules[i].Quiet = brimline.Time(r.varint())
		}
	}
	return rules
}

func (r *wireReader) edges() []brimline.Edge {
	n := r.count(minEdge)
	if n == 0 {
		return nil
	}
	edges := make([]brimline.Edge, n)
	var last brimline.Edge
	for i := range edges {
		last.Time += brimline.Time(r.uvarint())
		last.Cause.Offset += r.varint()
		last.Cause.Index = int(r.varint())
		last.Status = brimline.EdgeStatus(r.byte())
		if last.Status > brimline.Touched {
			r.fail(fmt.Errorf("edge status %d", last.Status))
			return nil
		}
		edges[i] = last
	}
	return edges
}

// Spans are, of each rule in turn, their first time as the difference to the last one of the span before, their length,
// and the offset of the question, doubled, with one more where it is to be asked again.
func appendSpans(b []byte, rules []brimline.RuleState) []byte {
	for i := range rules {
		b = binary.AppendUvarint(b, uint64(len(rules[i].Unjudged)))
		last := brimline.Time(0)
		for _, s := range rules[i].Unjudged {
			b = appendVarint(b, s.From-last)
			b = binary.AppendUvarint(b, uint64(s.Until-s.From))
			asked := uint64(s.Asked) << 1
			if s.Again {
				asked |= 1
			}
			b = binary.AppendUvarint(b, asked)
			last = s.Until
		}
	}
	return b
}

func (r *wireReader) spans(rules []brimline.RuleState) {
	for i := range rules {
		n := r.count(minSpan)
		if n == 0 {
			continue
		}
		spans := make([]brimline.Span, n)
		last := brimline.Time(0)
		for at := range spans {
			s := &spans[at]
			s.From = last + brimline.Time(r.varint())
			s.Until = s.From + brimline.Time(r.uvarint())
			asked := r.uvarint()
			s.Asked, s.Again = int64(asked>>1), asked&1 != 0
			last = s.Until
		}
		rules[i].Unjudged = spans
	}
}
