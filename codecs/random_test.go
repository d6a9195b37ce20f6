package codecs_test

import (
	"math"
	"time"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/codecs/debezium"
)

// Random values of the domain, for round trips.

func anyID() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom(
			[]string{
				"",
				"0",
				"-0",
				"-1",
				"007",
				"9223372036854775807",
				"9223372036854775808",
				"-9223372036854775808",
				"-9223372036854775809",
				"12345678901234567890123",
				"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
				"-",
				"+1",
			},
		),
		rapid.Custom(func(t *rapid.T) string { return brimline.Amount(rapid.Int64().Draw(t, "n")).Format(0) }),
		rapid.String(),
	)
}

func anyTime() *rapid.Generator[brimline.Time] {
	return rapid.Custom(func(t *rapid.T) brimline.Time {
		return brimline.Time(rapid.OneOf(
			rapid.Int64Range(1_700_000_000_000_000, 1_800_000_000_000_000),
			rapid.Int64Range(-200_000_000_000_000_000, 9_000_000_000_000_000_000),
			rapid.Just(int64(0)),
		).Draw(t, "time"))
	})
}

func anyAmount() *rapid.Generator[brimline.Amount] {
	return rapid.Custom(func(t *rapid.T) brimline.Amount {
		return brimline.Amount(rapid.Int64Range(-math.MaxInt64, math.MaxInt64).Draw(t, "amount"))
	})
}

func anyTotal() *rapid.Generator[brimline.Total] {
	return rapid.Custom(func(t *rapid.T) brimline.Total {
		return brimline.TotalOf(rapid.Int64Range(-1<<60, 1<<60).Draw(t, "high"), rapid.Uint64().Draw(t, "low"))
	})
}

func anyFields() *rapid.Generator[[]brimline.Field] {
	return rapid.Custom(func(t *rapid.T) []brimline.Field {
		var fields []brimline.Field
		for _, name := range rapid.SampledFrom([][]string{nil, {"a"}, {"a", "b"}, {"b", "", "Zoë"}}).Draw(t, "names") {
			f := brimline.Field{Name: name}
			switch rapid.IntRange(0, 5).Draw(t, "type") {
			case 0:
				f.Value = rapid.String().Draw(t, "text")
			case 1:
				f.Value = rapid.Int64().Draw(t, "integer")
			case 2:
				f.Value = rapid.Bool().Draw(t, "boolean")
			case 3:
				f.Value = brimline.Decimal(
					rapid.SampledFrom([]string{"0", "-0.125", "12345678901234567890.5"}).Draw(t, "decimal"),
				)
			case 4:
				f.Value = anyTime().Draw(t, "timestamp")
			}
			fields = append(fields, f)
		}
		return fields
	})
}

func anyRow(user string) *rapid.Generator[brimline.Transaction] {
	return rapid.Custom(func(t *rapid.T) brimline.Transaction {
		return brimline.Transaction{ID: anyID().Draw(t, "id"), User: user, Amount: anyAmount().Draw(t, "amount"),
			Time: anyTime().Draw(t, "time"), Columns: anyFields().Draw(t, "columns")}
	})
}

func anySource() *rapid.Generator[brimline.Source] {
	return rapid.Custom(func(t *rapid.T) brimline.Source {
		return brimline.Source{Partition: rapid.Int32().Draw(t, "partition"), Offset: rapid.Int64().Draw(t, "offset"),
			LSN: rapid.Uint64().
				Draw(t, "lsn"),
			TxID: rapid.Int64().Draw(t, "txid"), Commit: anyTime().Draw(t, "commit")}
	})
}

func anyChange() *rapid.Generator[*brimline.Change] {
	return rapid.Custom(func(t *rapid.T) *brimline.Change {
		c := &brimline.Change{
			Kind:   brimline.ChangeKind(rapid.IntRange(1, int(brimline.LastChange)).Draw(t, "kind")),
			User:   anyID().Draw(t, "user"),
			Source: anySource().Draw(t, "source"),
		}
		switch c.Kind {
		case brimline.EdgesFound:
			c.Row = anyRow(c.User).Draw(t, "row")
			c.Edges = rapid.SliceOfN(anyTime(), 0, 5).Draw(t, "edges")
			c.Rule = rapid.Uint64().Draw(t, "rule")
			c.Cause, c.Index = rapid.Int64().Draw(t, "cause"), rapid.IntRange(math.MinInt, 0).Draw(t, "index")
			c.Apart = rapid.Bool().Draw(t, "apart")
		case brimline.Unjudgeable, brimline.Retry:
			c.Edges = rapid.SliceOfN(anyTime(), 1, 2).Draw(t, "span")
			c.Rule, c.Cause = rapid.Uint64().Draw(t, "rule"), rapid.Int64().Draw(t, "cause")
		case brimline.Disbelieved:
			c.Row.User, c.Row.Time = c.User, 1+anyTime().Draw(t, "now")
			c.Reason = brimline.DistrustReason(rapid.String().Draw(t, "reason"))
			c.Edges, c.Rule = []brimline.Time{anyTime().Draw(t, "edge")}, rapid.Uint64().Draw(t, "rule")
			c.Cause = rapid.Int64().Draw(t, "cause")
		case brimline.Restored, brimline.StillDismissed:
			c.Row = anyRow(c.User).Draw(t, "row")
			c.Edges, c.Rule = []brimline.Time{anyTime().Draw(t, "edge")}, rapid.Uint64().Draw(t, "rule")
			c.Cause = rapid.Int64().Draw(t, "cause")
		case brimline.Dismissal:
			c.Edges, c.Rule, c.Cause = []brimline.Time{
				anyTime().Draw(t, "edge"),
			}, rapid.Uint64().
				Draw(t, "rule"),
				rapid.Int64().
					Draw(t, "cause")
		case brimline.Upsert, brimline.Delete:
			c.Row = anyRow(anyID().Draw(t, "row's user")).Draw(t, "row")
			c.Update, c.Inserted = rapid.Bool().Draw(t, "update"), rapid.Bool().Draw(t, "inserted")
			c.Whole, c.Source.Life = rapid.Bool().Draw(t, "whole"), rapid.Uint32().Draw(t, "life")
			c.Source.Snapshot = rapid.Bool().Draw(t, "snapshot")
		case brimline.Distrust:
			c.Row.User, c.Row.Time = c.User, 1+anyTime().Draw(t, "floor")
			c.Reason = brimline.DistrustReason(rapid.String().Draw(t, "reason"))
		case brimline.AskAgain:
			c.Cause, c.Index = rapid.Int64().Draw(t, "distrust"), rapid.IntRange(0, 3).Draw(t, "time")
		}
		if len(c.Edges) == 0 {
			c.Edges = nil
		}
		return c
	})
}

func anyWindow() *rapid.Generator[*brimline.Window] {
	return rapid.Custom(func(t *rapid.T) *brimline.Window {
		w := &brimline.Window{
			Last:  rapid.Int64().Draw(t, "last"),
			Floor: brimline.MinTime,
			Scale: rapid.IntRange(0, brimline.MaxScale).Draw(t, "scale"),
		}
		if rapid.Bool().Draw(t, "with floor") {
			w.Floor = anyTime().Draw(t, "floor")
		}
		rows := rapid.SliceOf(anyRow("")).Draw(t, "rows")
		if unit := brimline.Time(rapid.SampledFrom([]int64{1, 10, 1000, 1e6, 1e9}).Draw(t, "unit")); unit > 1 {
			for i := range rows {
				rows[i].Time -= rows[i].Time % unit
			}
		}
		w.Rows = brimline.RowsOf(none(rows))
		if rapid.Bool().Draw(t, "with stamps") {
			for i := range w.Rows {
				w.Rows[i].Stamp = brimline.StampOf(&brimline.Source{LSN: rapid.Uint64().Draw(t, "row's lsn"),
					Commit: anyTime().Draw(t, "row's commit"), Life: rapid.Uint32Range(0, 2).Draw(t, "row's life"),
					Snapshot: rapid.Bool().Draw(t, "row's snapshot")})
			}
		}
		for range rapid.IntRange(0, 3).Draw(t, "rules") {
			w.Rules = append(w.Rules, brimline.RuleState{Rule: rapid.Uint64().Draw(t, "rule"),
				Quiet: brimline.Time(rapid.Int64Range(-5, 5).Draw(t, "quiet")),
				Edges: none(rapid.SliceOf(rapid.Custom(func(t *rapid.T) brimline.Edge {
					return brimline.Edge{Time: anyTime().Draw(t, "time"), Cause: anyCause().Draw(t, "cause"),
						Status: brimline.EdgeStatus(rapid.IntRange(0, int(brimline.Touched)).Draw(t, "status"))}
				})).Draw(t, "edges")),
				Forgotten: none(rapid.SliceOf(anyTime()).Draw(t, "forgotten")),
				Unjudged: none(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) brimline.Span {
					return brimline.Span{From: anyTime().Draw(t, "from"), Until: anyTime().Draw(t, "until"),
						Asked: rapid.Int64Range(0, 1<<50).Draw(t, "asked"), Again: rapid.Bool().Draw(t, "again"),
						Apart: rapid.Bool().Draw(t, "apart")}
				}), 0, 3).Draw(t, "unjudged"))})
		}
		if rapid.Bool().Draw(t, "with questions") {
			w.Asked, w.Reach = anyCause().Draw(t, "asked"), anyTime().Draw(t, "reach")
			w.Apart = anyCause().Draw(t, "asked apart")
			w.Stirred = brimline.Stir{Last: rapid.Int64().Draw(t, "stirred"), LSN: rapid.Uint64().Draw(t, "lsn"),
				TxID: rapid.Int64().Draw(t, "txid")}
		}
		if rapid.Bool().Draw(t, "with a newest change") {
			w.Newest = brimline.Seen{LSN: rapid.Uint64().Draw(t, "newest lsn"), Ticks: rapid.Int64().Draw(t, "ticks"),
				TxID: rapid.Int64().Draw(t, "newest txid")}
		}
		if rapid.Bool().Draw(t, "distrusted") {
			w.Above = brimline.Above{Last: rapid.Int64Range(1, 1<<40).Draw(t, "above"), From: anyTime().Draw(t, "from"),
				Asked: rapid.Int64Range(1, 1<<40).Draw(t, "asked above"), At: anyTime().Draw(t, "at"),
				Since: anyTime().Draw(t, "since")}
			w.Doubt = brimline.Doubt{Offset: rapid.Int64().Draw(t, "doubt"), At: anyTime().Draw(t, "said"),
				Reason: brimline.DistrustReason(rapid.String().Draw(t, "reason")), From: anyTime().Draw(t, "first"),
				Floor: anyTime().Draw(t, "last"), Asked: rapid.IntRange(0, 3).Draw(t, "times")}
		}
		if w.Older.Next = rapid.Uint64Range(0, 1<<40).Draw(t, "next"); w.Older.Next > 0 {
			w.Older.First = w.Older.Next - rapid.Uint64Range(0, min(w.Older.Next, 1<<20)).Draw(t, "segments")
			w.Older.Check = rapid.Uint32().Draw(t, "check")
		}
		w.Gone = none(rapid.SliceOf(rapid.String()).Draw(t, "gone"))
		w.Changed = none(rapid.SliceOf(rapid.Custom(func(t *rapid.T) brimline.RowVersion {
			return brimline.RowVersion{ID: rapid.String().Draw(t, "id"), Partition: rapid.Int32().Draw(t, "partition"),
				Offset: rapid.Int64().
					Draw(t, "offset"),
				Time: anyTime().Draw(t, "time"), From: anyTime().Draw(t, "from"),
				Life: rapid.Uint32().
					Draw(t, "life"),
				LSN: rapid.Uint64().Draw(t, "lsn"), Commit: anyTime().Draw(t, "commit"),
				TxID: rapid.Int64().Draw(t, "txid"), Former: rapid.Uint64().Draw(t, "former")}
		})).Draw(t, "changed"))
		return w
	})
}

func anyMarker() *rapid.Generator[*brimline.Marker] {
	return rapid.Custom(func(t *rapid.T) *brimline.Marker {
		m := &brimline.Marker{TruncatedAt: rapid.Int64().Draw(t, "truncated at")}
		if rapid.Bool().Draw(t, "placed") {
			m.Truncation = &brimline.Truncation{Source: anySource().Draw(t, "source"), Whole: rapid.Bool().Draw(t, "whole")}
			m.Truncation.Source.Life = rapid.Uint32().Draw(t, "life")
			m.Truncation.Source.Snapshot = rapid.Bool().Draw(t, "snapshot")
		}
		m.Sweeps = none(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) brimline.Swept {
			return brimline.Swept{Offset: rapid.Int64().Draw(t, "offset"), Before: anyTime().Draw(t, "before")}
		}), 0, 4).Draw(t, "sweeps"))
		return m
	})
}

// none makes an empty slice nil, as decoders give it.
func none[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}

func anyCause() *rapid.Generator[brimline.Cause] {
	return rapid.Custom(func(t *rapid.T) brimline.Cause {
		return brimline.Cause{Offset: rapid.Int64().Draw(t, "offset"), Index: rapid.Int().Draw(t, "index")}
	})
}

func anyRule() *rapid.Generator[brimline.Rule] {
	return rapid.Custom(func(t *rapid.T) brimline.Rule {
		r := brimline.Rule{
			ID:     rapid.String().Draw(t, "id"),
			Window: time.Duration(rapid.Int64Range(0, math.MaxInt64/1000).Draw(t, "window")) * time.Microsecond,
			Limit:  anyTotal().Draw(t, "limit"), Measure: rapid.SampledFrom(brimline.Measures()).Draw(t, "measure"),
			Where: rapid.String().Draw(t, "where"), Severity: rapid.String().Draw(t, "severity"),
			Description: rapid.String().Draw(t, "description"),
			Quiet:       time.Duration(rapid.Int64Range(0, math.MaxInt64/1000).Draw(t, "quiet")) * time.Microsecond,
			Shadow:      rapid.Bool().Draw(t, "shadow"),
		}
		r.MinCount = rapid.Int64Range(0, 1000).Draw(t, "min count")
		if r.Measure == brimline.Distinct {
			r.Column = rapid.StringN(1, 8, -1).Draw(t, "of")
		}
		if r.Rearms = rapid.Bool().Draw(t, "rearms"); r.Rearms {
			r.Rearm = anyTotal().Draw(t, "rearm")
		}
		return r
	})
}

func anyFigures() *rapid.Generator[brimline.Figures] {
	return rapid.Custom(func(t *rapid.T) brimline.Figures {
		return brimline.Figures{
			Before:  anyTotal().Draw(t, "before"),
			Total:   anyTotal().Draw(t, "total"),
			Earlier: rapid.Int64Range(0, math.MaxInt64).Draw(t, "earlier"),
			Count:   rapid.Int64().Draw(t, "count"),
		}
	})
}

func anyCandidate() *rapid.Generator[*brimline.Candidate] {
	return rapid.Custom(func(t *rapid.T) *brimline.Candidate {
		user := anyID().Draw(t, "user")
		c := &brimline.Candidate{
			Kind: rapid.SampledFrom([]brimline.CandidateKind{brimline.EdgeCandidate, brimline.LateCandidate}).
				Draw(t, "kind"),
			User: user, Scale: rapid.IntRange(0, brimline.MaxScale).Draw(t, "scale"), Rule: anyRule().Draw(t, "rule"),
			Edge:  anyTime().Draw(t, "edge"),
			Until: anyTime().Draw(t, "until"), Trigger: anyRow(user).Draw(t, "trigger"),
			Source: anySource().Draw(t, "source"), Stream: anyFigures().Draw(t, "stream"),
			Newest: none(rapid.SliceOfN(anyRow(user), 0, 3).Draw(t, "newest")), Cause: anyCause().Draw(t, "cause"),
		}
		c.Source.Topic = rapid.String().Draw(t, "topic")
		return c
	})
}

func anyAgain() *rapid.Generator[*brimline.Again] {
	return rapid.Custom(func(t *rapid.T) *brimline.Again {
		a := &brimline.Again{
			Candidate: *anyCandidate().Draw(t, "candidate"),
			Database:  anyFigures().Draw(t, "database"),
			First:     anyTime().Draw(t, "first"),
			Since:     anyTime().Draw(t, "since"),
		}
		a.Candidate.Doubted = rapid.Bool().Draw(t, "doubted")
		return a
	})
}

// anyCandidates gives one candidate, or questions of a message.
func anyCandidates() *rapid.Generator[[]brimline.Candidate] {
	return rapid.Custom(func(t *rapid.T) []brimline.Candidate {
		all := []brimline.Candidate{*anyCandidate().Draw(t, "first")}
		all[0].Doubted = all[0].Kind == brimline.EdgeCandidate && rapid.Bool().Draw(t, "doubted")
		for range rapid.IntRange(0, 3).Draw(t, "further") {
			next := all[len(all)-1]
			if next.Kind != brimline.LateCandidate || next.Cause.Index >= math.MaxInt-5 {
				break
			}
			next.Rule, next.Edge, next.Until = anyRule().Draw(t, "rule"),
				anyTime().Draw(t, "edge"),
				anyTime().Draw(t, "until")
			next.Cause.Index += rapid.IntRange(1, 5).Draw(t, "later")
			all = append(all, next)
		}
		return all
	})
}

func anyAlert() *rapid.Generator[*brimline.Alert] {
	return rapid.Custom(func(t *rapid.T) *brimline.Alert {
		a := &brimline.Alert{
			Candidate: *anyCandidate().Draw(t, "candidate"), Reason: rapid.String().Draw(t, "reason"),
			Verification: brimline.Verification{
				Status: rapid.SampledFrom([]brimline.Status{brimline.Verified, brimline.Unverified, brimline.Dismissed}).
					Draw(t, "status"),
				At: anyTime().Draw(t, "at"), LSN: rapid.Uint64().Draw(t, "lsn"),
				Duration: time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "took")) * time.Microsecond,
			},
		}
		if rapid.Bool().Draw(t, "with database") {
			f := anyFigures().Draw(t, "database")
			a.Database = &f
		}
		if rapid.Bool().Draw(t, "as of now") {
			a.AsOfNow = &brimline.AsOf{
				At:    anyTime().Draw(t, "asked at"),
				Total: anyTotal().Draw(t, "total"),
				Count: rapid.Int64().Draw(t, "count"),
			}
		}
		a.Candidate.Later = nil // an alert does not have it
		for range rapid.IntRange(0, 3).Draw(t, "superseded") {
			a.Supersedes = append(a.Supersedes, anyTime().Draw(t, "edge"))
		}
		return a
	})
}

func anyDeadLetter() *rapid.Generator[*brimline.DeadLetter] {
	return rapid.Custom(func(t *rapid.T) *brimline.DeadLetter {
		maybe := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOf(rapid.Byte()))
		d := &brimline.DeadLetter{
			Topic: rapid.String().
				Draw(t, "topic"),
			Partition: rapid.Int32().Draw(t, "partition"), Offset: rapid.Int64().Draw(t, "offset"),
			Key: maybe.Draw(
				t,
				"key",
			), Value: maybe.Draw(t, "value"), Kind: rapid.String().Draw(t, "kind"), Error: rapid.String().Draw(t, "error"),
			Remedy: rapid.String().Draw(t, "remedy"), At: anyTime().Draw(t, "at"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			d.Headers = append(
				d.Headers,
				brimline.Header{
					Key:   string(rapid.SliceOf(rapid.Byte()).Draw(t, "name")),
					Value: maybe.Draw(t, "value"),
				},
			)
		}
		if rapid.Bool().Draw(t, "cut") {
			n := rapid.IntRange(0, 1<<30)
			d.Cut = &brimline.Cut{
				Key:     n.Draw(t, "cut key"),
				Value:   n.Draw(t, "cut value"),
				Headers: n.Draw(t, "cut headers"),
			}
		}
		return d
	})
}

func anyRuleSet() *rapid.Generator[*brimline.RuleSet] {
	return rapid.Custom(func(t *rapid.T) *brimline.RuleSet {
		return &brimline.RuleSet{
			Scale: rapid.IntRange(0, brimline.MaxScale).
				Draw(t, "scale"),
			Lateness: time.Duration(rapid.IntRange(0, 1e9).Draw(t, "lateness")) * time.Millisecond,
			Columns: none(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) brimline.Column {
				return brimline.Column{
					Name: rapid.String().Draw(t, "name"),
					Type: rapid.SampledFrom([]brimline.ColumnType{brimline.Text, brimline.Numeric}).Draw(t, "type"),
				}
			}), 0, 3).Draw(t, "columns")),
			Rules: none(rapid.SliceOfN(anyRule(), 0, 3).Draw(t, "rules")),
		}
	})
}

func anySettings() *rapid.Generator[*codecs.GroupSettings] {
	names := rapid.SliceOfN(rapid.String(), 0, 3)
	scale := rapid.Ptr(rapid.IntRange(0, brimline.MaxScale), true)
	return rapid.Custom(func(t *rapid.T) *codecs.GroupSettings {
		s := &codecs.GroupSettings{
			Source: rapid.String().Draw(t, "source"), Table: rapid.String().Draw(t, "table"),
			ID: none(
				names.Draw(t, "id"),
			), User: rapid.String().Draw(t, "user"), Amount: rapid.String().Draw(t, "amount"),
			Time: rapid.String().Draw(t, "time"), Scale: rapid.IntRange(0, brimline.MaxScale).Draw(t, "scale"),
			Format: rapid.SampledFrom([]debezium.Format{debezium.FormatAuto, debezium.FormatFlat}).
				Draw(t, "format"),
			AllowFloatAmounts: rapid.Bool().Draw(t, "floats"),
			TimeUnit:          rapid.SampledFrom([]debezium.TimeUnit{debezium.UnitAuto, debezium.UnitNs}).Draw(t, "unit"),
			Decimals: rapid.SampledFrom([]debezium.Decimals{debezium.DecimalsAuto, debezium.DecimalsNumeric}).Draw(t,
				"decimals"),
			DecidedUnit: rapid.SampledFrom([]debezium.TimeUnit{"", debezium.UnitMs}).Draw(t, "decided unit"),
			DecidedDecimals: rapid.SampledFrom([]debezium.Decimals{"", debezium.DecimalsString}).
				Draw(t, "decided decimals"),
			AmountColumnScale: scale.Draw(t, "column scale"),
			AmountMinorUnits:  rapid.IntRange(0, brimline.MaxScale).Draw(t, "minor units"),
			TableOID:          rapid.Uint32().Draw(t, "oid"), By: rapid.String().Draw(t, "by"),
			Program: rapid.String().Draw(t, "program"), At: anyTime().Draw(t, "at"),
		}
		if rapid.Bool().Draw(t, "identity") {
			s.Identity = debezium.Identity{
				Known:   true,
				Full:    rapid.Bool().Draw(t, "full"),
				Columns: none(names.Draw(t, "of")),
			}
		}
		for _, name := range names.Draw(t, "columns") {
			if s.Facts == nil {
				s.Facts = map[string]debezium.ColumnFacts{}
			}
			s.Facts[name] = debezium.ColumnFacts{
				Type: "t" + rapid.String().Draw(t, "type"), Precision: rapid.IntRange(0, 6).Draw(t, "precision"),
				Scale: rapid.Ptr(rapid.IntRange(-1000, 1000), true).
					Draw(t, "decimals"),
				NotNull: rapid.Bool().Draw(t, "not null"),
				Default: rapid.Ptr(rapid.String(), true).Draw(t, "default"),
			}
		}
		return s
	})
}

func anyProof() *rapid.Generator[*codecs.ProofReport] {
	return rapid.Custom(func(t *rapid.T) *codecs.ProofReport {
		n := rapid.IntRange(0, 1<<40)
		p := &codecs.ProofReport{
			From: anyTime().Draw(t, "from"),
			To:   anyTime().Draw(t, "to"), At: anyTime().Draw(t, "at"), LSN: rapid.Uint64().Draw(t, "lsn"),
			Took: time.Duration(rapid.IntRange(0, 1e9).Draw(t, "took")) * time.Microsecond, Edges: n.Draw(t, "edges"),
			Alerts: n.Draw(t, "alerts"), Missing: n.Draw(t, "missing"), Superseded: n.Draw(t, "superseded"),
			Outdated: n.Draw(t, "outdated"), False: n.Draw(t, "false"),
			By: rapid.String().Draw(t, "by"),
		}
		p.From, p.To = min(p.From, p.To), max(p.From, p.To)
		return p
	})
}

func anyAudit() *rapid.Generator[*codecs.AuditReport] {
	return rapid.Custom(func(t *rapid.T) *codecs.AuditReport {
		n := rapid.IntRange(0, 1<<40)
		return &codecs.AuditReport{
			At: anyTime().Draw(t, "at"), LSN: rapid.Uint64().Draw(t, "lsn"),
			Took:  time.Duration(rapid.IntRange(0, 1e9).Draw(t, "took")) * time.Microsecond,
			Users: int64(n.Draw(t, "users")), Rows: int64(n.Draw(t, "rows")), Unknown: n.Draw(t, "unknown"),
			Missing: n.Draw(t, "missing"), Phantom: n.Draw(t, "phantom"), Different: n.Draw(t, "different"),
			Unsettled: n.Draw(t, "unsettled"), By: rapid.String().Draw(t, "by"),
		}
	})
}
