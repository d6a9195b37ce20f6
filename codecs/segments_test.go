package codecs_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
)

// log is a user's log of two segments and a value, and what it comes to.
func log(t *testing.T) (value *brimline.Window, segments map[uint64][]byte, whole *brimline.Window) {
	row := func(id string, amount brimline.Amount, at brimline.Time) brimline.Row {
		return brimline.RowOf(&brimline.Transaction{ID: id, Amount: amount, Time: at})
	}
	edge := func(at brimline.Time, status brimline.EdgeStatus) brimline.Edge {
		return brimline.Edge{Time: at, Cause: brimline.Cause{Offset: int64(at)}, Status: status}
	}
	segments = map[uint64][]byte{
		3: encode(t, codecs.WindowPart{}, &brimline.Window{Last: 10, Floor: brimline.MinTime,
			Rows:    []brimline.Row{row("1", 1, 10), row("2", 2, 20), row("3", 3, 30)},
			Rules:   []brimline.RuleState{{Rule: 7, Edges: []brimline.Edge{edge(20, 0), edge(30, 0)}}, {Rule: 99, Edges: []brimline.Edge{edge(1, 0)}}},
			Changed: []brimline.RowVersion{{ID: "a", Offset: 1, Time: 12}, {ID: "b", Offset: 2, Time: 30}}}),
		4: encode(t, codecs.WindowPart{}, &brimline.Window{Last: 20, Floor: brimline.MinTime,
			Rows: []brimline.Row{row("2", 22, 25), row("4", 4, 40)}, Gone: []string{"2", "3"},
			Rules:   []brimline.RuleState{{Rule: 7, Edges: []brimline.Edge{edge(20, brimline.EdgeDismissed)}, Forgotten: []brimline.Time{30}}},
			Changed: []brimline.RowVersion{{ID: "b", Offset: 9, Time: 31}}}),
	}
	older := brimline.Segments{First: 3, Next: 5,
		Check: codecs.SegmentCheck(segments[3]) ^ codecs.SegmentCheck(segments[4])}
	rules := []brimline.RuleState{{Rule: 8, Quiet: 5}, {Rule: 7, Edges: []brimline.Edge{edge(50, 0)}}}
	value = &brimline.Window{Last: 30, Floor: 15, Scale: 2, Older: older, Rules: rules, Gone: []string{"4"},
		Rows: []brimline.Row{row("5", 5, 50)}}
	whole = &brimline.Window{Last: 30, Floor: 15, Scale: 2, Older: older,
		Rows:    []brimline.Row{row("2", 22, 25), row("5", 5, 50)},
		Rules:   []brimline.RuleState{{Rule: 8, Quiet: 5}, {Rule: 7, Edges: []brimline.Edge{edge(20, brimline.EdgeDismissed), edge(50, 0)}}},
		Changed: []brimline.RowVersion{{ID: "b", Offset: 9, Time: 31}}}
	return value, segments, whole
}

func TestAssembleWindow(t *testing.T) {
	value, segments, want := log(t)
	got, entries, err := codecs.AssembleWindow(value, func(n uint64) ([]byte, error) { return segments[n], nil })
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
	}
	if entries != 8+7+3 {
		t.Errorf("%d entries", entries)
	}
	plain := exampleWindow(t)
	if got, entries, err := codecs.AssembleWindow(plain, nil); got != plain || entries != 5 || err != nil {
		t.Errorf("a value without segments: %+v, %d, %v", got, entries, err)
	}
}

func TestTornWindowsAreNoticed(t *testing.T) {
	for what, tear := range map[string]func(map[uint64][]byte){
		"missing":      func(s map[uint64][]byte) { delete(s, 4) },
		"unreadable":   func(s map[uint64][]byte) { s[4] = []byte("x") },
		"another's":    func(s map[uint64][]byte) { s[4] = s[3] },
		"of other age": func(s map[uint64][]byte) { s[3] = append([]byte{s[3][0], s[3][1], s[3][2] + 2}, s[3][3:]...) },
	} {
		value, segments, _ := log(t)
		tear(segments)
		rest, _, err := codecs.AssembleWindow(value, func(n uint64) ([]byte, error) { return segments[n], nil })
		if !errors.Is(err, codecs.ErrTorn) || rest == nil || len(rest.Rules[1].Edges) < 2 {
			t.Errorf("%s: %v, and what is left: %+v", what, err, rest)
		}
	}
	value, _, _ := log(t)
	gone := errors.New("disk")
	if _, _, err := codecs.AssembleWindow(value, func(uint64) ([]byte, error) {
		return nil, gone
	}); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}

// A plain goka view shows one record of a user, and must not pass the newest rows off as all of them.
func TestWindowRefusesAPart(t *testing.T) {
	whole := exampleWindow(t)
	if got := decode(t, codecs.Window{}, encode(t, codecs.Window{}, whole)); !reflect.DeepEqual(got, whole) {
		t.Errorf("a whole window became %+v", got)
	}
	part := exampleWindow(t)
	part.Older = brimline.Segments{First: 7, Next: 9, Check: 1}
	raw := encode(t, codecs.WindowPart{}, part)
	v, err := codecs.Window{}.Decode(raw)
	known, ok := errors.AsType[*brimline.Error](err)
	if !ok || known.Kind != codecs.KindWindowInSegments || !strings.Contains(known.Remedy, "views.Open") {
		t.Errorf("a part of %d rows was read as a whole: %v", len(part.Rows), err)
	}
	if v != nil {
		t.Errorf("the part is given beside the refusal: %+v", v)
	}
	if got := decode(t, codecs.WindowPart{}, raw); !reflect.DeepEqual(got, part) {
		t.Errorf("the part became %+v", got)
	}
	// No segment is left, but their numbers are not to be used again.
	part.Older = brimline.Segments{First: 9, Next: 9}
	if _, err := (codecs.Window{}).Decode(encode(t, codecs.Window{}, part)); err != nil {
		t.Error(err)
	}
}

// TestRulesAreReadIntoThoseOfAnother: nothing of a window shows in the next one that is read into its rules.
func TestRulesAreReadIntoThoseOfAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var got brimline.Window
		for range 4 {
			rules := got.Rules
			b, err := codecs.WindowPart{}.Encode(anyWindow().Draw(t, "window"))
			if err != nil {
				t.Fatal(err)
			}
			want, err := codecs.WindowPart{}.Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			if err := codecs.DecodeWindowPart(b, &got); err != nil || !reflect.DeepEqual(&got, want) {
				t.Fatalf("%+v, %v, want %+v", got, err, want)
			}
			if len(got.Rules) > 0 && len(got.Rules) <= cap(rules) && &got.Rules[0] != &rules[:1][0] {
				t.Fatal("there was room, and it was not taken")
			}
		}
	})
}
