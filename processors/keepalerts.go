package processors

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"
)

// KeepAlerts is for the index table what KeepNewer is for the window table. An
// instance that was frozen and thawed writes older lists over newer ones. Alerts
// never change, so the alerts of both lists are the user's; as many are kept as
// the longer list has, the newest edges.
func KeepAlerts(_ goka.UpdateContext, s storage.Storage, key string, value []byte) error {
	if value == nil {
		return s.Delete(key)
	}
	held, err := s.Get(key)
	if err != nil {
		return err
	}
	return s.Set(key, mergeAlerts(held, value))
}

// mergeAlerts gives value as it is where held adds nothing, and where either cannot be decoded.
func mergeAlerts(held, value []byte) []byte {
	if len(held) == 0 || isInsertion(held, value) {
		return value
	}
	before, err := codecs.AlertLog{}.Decode(held)
	if err != nil {
		return value
	}
	after, err := codecs.AlertLog{}.Decode(value)
	if err != nil {
		return value
	}
	older, all := before.([]*brimline.Alert), after.([]*brimline.Alert)
	n, known := max(len(older), len(all)), make(map[string]bool, len(all))
	for _, a := range all {
		known[a.Candidate.ID()] = true
	}
	for _, a := range older {
		if !known[a.Candidate.ID()] {
			all = append(all, a)
		}
	}
	if len(all) == len(known) {
		return value
	}
	slices.SortStableFunc(all, func(x, y *brimline.Alert) int { return cmp.Compare(y.Candidate.Edge, x.Candidate.Edge) })
	merged, err := codecs.AlertLog{}.Encode(all[:n])
	if err != nil {
		return value
	}
	return merged
}

// isInsertion says whether value is held with something put in at one place:
// the usual case, seen without decoding either.
func isInsertion(held, value []byte) bool {
	if len(value) < len(held) {
		return false
	}
	same := 0
	for same < len(held) && held[same] == value[same] {
		same++
	}
	return bytes.HasSuffix(value, held[same:])
}
