package app

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/codecs/debezium"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/preflight"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/processors"
)

func exampleSettings() *codecs.GroupSettings {
	two := 2
	return &codecs.GroupSettings{
		Source: "src", Table: "s.t", ID: []string{"id"}, User: "u", Amount: "a", Time: "at", Scale: 2,
		Format:   debezium.FormatAuto,
		TimeUnit: debezium.UnitAuto, Decimals: debezium.DecimalsAuto, TableOID: 7,
		Facts: map[string]debezium.ColumnFacts{
			"id": {Type: "int8"}, "a": {Type: "numeric", Scale: &two}, "at": {Type: "timestamp", Precision: 3}, "w": {Type: "varchar"},
		},
	}
}

// TestDifferences: what another start must not say otherwise, and what it may.
func TestDifferences(t *testing.T) {
	fact := func(s *codecs.GroupSettings, name string, f debezium.ColumnFacts) { s.Facts[name] = f }
	three := 3
	for name, c := range map[string]struct {
		change func(*codecs.GroupSettings)
		want   string
	}{
		"nothing":           {func(*codecs.GroupSettings) {}, ""},
		"source":            {func(s *codecs.GroupSettings) { s.Source = "x" }, "--source was src, and is x"},
		"table":             {func(s *codecs.GroupSettings) { s.Table = "s.x" }, "--table was s.t, and is s.x"},
		"id":                {func(s *codecs.GroupSettings) { s.ID = []string{"id", "b"} }, "--id-column was id, and is id,b"},
		"scale":             {func(s *codecs.GroupSettings) { s.Scale = 4 }, "scale was 2, and is 4"},
		"cents":             {func(s *codecs.GroupSettings) { s.AmountMinorUnits = 2 }, "--amount-minor-units was 0, and is 2"},
		"unit as it was":    {func(s *codecs.GroupSettings) { s.TimeUnit = debezium.UnitMs }, ""},
		"another unit":      {func(s *codecs.GroupSettings) { s.TimeUnit = debezium.UnitUs }, "--time-unit was ms, and is us"},
		"found another":     {func(s *codecs.GroupSettings) { s.DecidedUnit = debezium.UnitNs }, "--time-unit was ms, and is ns"},
		"decimals, at last": {func(s *codecs.GroupSettings) { s.Decimals = debezium.DecimalsString }, ""},
		"precision":         {func(s *codecs.GroupSettings) { fact(s, "at", debezium.ColumnFacts{Type: "timestamp", Precision: 6}) }, "--time-unit was ms, and is us"},
		"decimals of a":     {func(s *codecs.GroupSettings) { fact(s, "a", debezium.ColumnFacts{Type: "numeric", Scale: &three}) }, "the decimals of column a was 2, and is 3"},
		"wider text":        {func(s *codecs.GroupSettings) { fact(s, "w", debezium.ColumnFacts{Type: "text"}) }, ""},
		"narrower integer":  {func(s *codecs.GroupSettings) { fact(s, "id", debezium.ColumnFacts{Type: "int4", NotNull: true}) }, ""},
		"another type":      {func(s *codecs.GroupSettings) { fact(s, "w", debezium.ColumnFacts{Type: "bpchar"}) }, "column w was varchar, and is bpchar"},
		"a column unknown":  {func(s *codecs.GroupSettings) { delete(s.Facts, "w") }, ""},
		"nothing known":     {func(s *codecs.GroupSettings) { s.Facts, s.TableOID = nil, 0 }, ""},
	} {
		after := exampleSettings()
		c.change(after)
		got := strings.Join(differences(exampleSettings(), after), "; ")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if findings := refusal(exampleSettings(), after); (len(findings) > 0) != (c.want != "") ||
			len(findings) > 0 && brimline.ExitCode(preflight.Err(findings)) != int(brimline.ClassInput) {
			t.Errorf("%s: %+v", name, findings)
		}
	}
	other := exampleSettings()
	other.TableOID, other.Facts["w"] = 8, debezium.ColumnFacts{Type: "varchar", NotNull: true}
	findings := changes(exampleSettings(), other)
	if len(findings) != 2 || findings[0].Check != "group_table_replaced" || findings[1].Check != "group_columns_changed" {
		t.Errorf("%+v", findings)
	}
}

// TestLearned: what becomes known is added to what the group has written down, and nothing is taken away.
func TestLearned(t *testing.T) {
	if next := learned(exampleSettings(), exampleSettings()); next != nil {
		t.Errorf("%+v", next)
	}
	bare := exampleSettings()
	bare.Facts, bare.TableOID = nil, 0
	if next := learned(exampleSettings(), bare); next != nil {
		t.Errorf("who knows less changes %+v", next)
	}
	more := exampleSettings()
	more.Facts["w"], more.DecidedDecimals = debezium.ColumnFacts{Type: "varchar", NotNull: true}, debezium.DecimalsString
	next := learned(exampleSettings(), more)
	if next == nil || !next.Facts["w"].NotNull || next.DecidedDecimals != debezium.DecimalsString || next.TableOID != 7 {
		t.Errorf("%+v", next)
	}
	if next := learned(bare, exampleSettings()); next == nil || !next.Known() || next.TableOID != 7 {
		t.Errorf("%+v", next)
	}
}

// TestGroupsOfOtherFlows: a group that began before its questions travelled apart learns of it, and one of a newer flow
// is refused. Programs from before refuse the record, since its version is new to them.
func TestGroupsOfOtherFlows(t *testing.T) {
	ours := exampleSettings()
	ours.Flow = processors.FlowVersion
	if next := learned(exampleSettings(), ours); next == nil || next.Flow != processors.FlowVersion {
		t.Errorf("%+v", next)
	}
	if next := learned(ours, ours); next != nil {
		t.Errorf("nothing new changes %+v", next)
	}
	read := func(s *codecs.GroupSettings) error {
		value, err := codecs.Settings{}.Encode(s)
		if err == nil {
			_, err = settingsOf(value, "g-rules")
		}
		return err
	}
	newer := *ours
	newer.Flow++
	if read(exampleSettings()) != nil || read(ours) != nil {
		t.Errorf("refused: %v, %v", read(exampleSettings()), read(ours))
	}
	if err := read(&newer); brimline.ExitCode(err) != int(brimline.ClassEnvironment) ||
		!strings.Contains(err.Error(), "newer brimline") {
		t.Errorf("a newer flow: %v", err)
	}
}

// TestSettingsOfTwo: of two instances that begin at the same moment the first one's record holds, for both.
func TestSettingsOfTwo(t *testing.T) {
	g := newGround(t)
	defer g.close(t)
	g.createSource(t)
	g.insert(t, 1, "60.00")
	a, b := g.app(t), g.app(t)
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := func(a *App) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
	}
	defer stop(a)
	// b has looked before a wrote.
	b.place, b.kafka, b.cluster = a.place, a.kafka, a.cluster
	b.config.AmountMinorUnits = 2
	err := b.agree(t.Context(), &examination{})
	if err == nil || brimline.ExitCode(err) != int(brimline.ClassInput) ||
		!strings.Contains(err.Error(), "--amount-minor-units was 0, and is 2") {
		t.Errorf("%v", err)
	}
	first, err := rulesTopic{a.cluster}.settings(t.Context(), a.streams.Rules)
	if err != nil || first == nil || first.AmountMinorUnits != 0 {
		t.Errorf("%+v, %v", first, err)
	}
}

// TestExamine: the checks that package preflight does not make itself.
func TestExamine(t *testing.T) {
	g := newGround(t)
	defer g.close(t)
	g.createSource(t)
	expect := func(level preflight.Level, check, words string) {
		t.Helper()
		findings := Examine(t.Context(), &g.config, false)
		for _, f := range findings {
			if f.Check == check && f.Level == level && strings.Contains(f.What+f.Remedy, words) {
				return
			}
		}
		t.Errorf("no %s of %s with %q, but %+v", level, check, words, findings)
	}
	expect(preflight.OK, "rules", "1 rule")
	expect(preflight.Note, "postgres_connection_off", "--verify is off")
	g.config.Verify = "on"
	expect(preflight.Error, "postgres_connection_none", "--database-url")
	g.config.Stages = nil // as doctor has it
	expect(preflight.Error, "postgres_connection_none", "--database-url")
	g.config.Stages = []string{"route", "window", "index"}
	expect(preflight.Note, "postgres_connection_off", "another instance verifies")
	g.config.Verify, g.config.Stages = "off", []string{"route", "window", "verify", "index"}
	g.config.AmountMinorUnits, g.config.AmountColumnScale = 2, 2
	expect(preflight.Error, "settings_wrong", "amount_minor_units")
	g.config.AmountMinorUnits, g.config.AmountColumnScale = -1, -1

	g.insert(t, 1, "60.00")
	a := g.app(t)
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.config.UserColumn = "other"
	expect(preflight.Error, "group_settings", "--user-column was user_id, and is other")
	g.config.UserColumn = "user_id"
	// Of a PostgreSQL that is away only what was to be asked of it can stop a start.
	g.config.DatabaseURL = "postgres://u@127.0.0.1:1/app"
	expect(preflight.Warning, "postgres_connection_away", "cannot reach")
	g.config.Verify, g.config.Stages = "on", []string{"route", "window"}
	expect(preflight.Error, "postgres_connection_failed", "cannot reach") // and the group does not say it either
	g.config.Stages = []string{"verify"}
	expect(preflight.Error, "postgres_connection_failed", "cannot reach")
	g.config.DatabaseURL, g.config.Verify, g.config.Stages = "", "off", []string{"route", "window", "verify", "index"}
	err := g.retry.Send(&brimline.DeadLetter{Topic: a.streams.Rules, Key: []byte(processors.SettingsKey),
		Value: []byte(`{"version":99}`)})
	if err != nil {
		t.Fatal(err)
	}
	expect(preflight.Error, "group_record", "start a new --group")
	if err := os.WriteFile(g.config.Rules, []byte("rules: 7"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(preflight.Error, "rules_file", "")
}

// TestGuard: an attempt does not run while the table is not what it was, and ends when it changes.
func TestGuard(t *testing.T) {
	w := newCatalogWatch()
	running, ended := make(chan struct{}, 9), make(chan error, 9)
	attempt := w.guard(func(ctx context.Context, _ func(httpapi.State)) error {
		running <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	states := make(chan httpapi.State, 9)
	run := func() { ended <- attempt(t.Context(), func(s httpapi.State) { states <- s }) }
	go run()
	<-running
	gone := fmt.Errorf("column a is not there")
	if !w.set(gone) || w.set(fmt.Errorf("column a is not there")) {
		t.Error("news are told once")
	}
	if err := <-ended; err != gone { //nolint:errorlint // it is this one
		t.Errorf("ended with %v", err)
	}
	<-states
	go run()
	if s := <-states; s != httpapi.Failed {
		t.Errorf("state %s", s)
	}
	w.set(fmt.Errorf("column b is not there"))
	w.set(nil)
	<-running
}

// TestUnread: a column that is read no more may go.
func TestUnread(t *testing.T) {
	s := exampleSettings()
	s.Facts["old"] = debezium.ColumnFacts{Type: "text"}
	a := &App{rules: &rules.Set{RuleSet: brimline.RuleSet{
		Columns: []brimline.Column{{Name: "w", Type: brimline.Text}}}}}
	a.config.Table, a.config.IDColumn, a.config.UserColumn = "s.t", s.ID, s.User
	a.config.AmountColumn, a.config.TimeColumn = s.Amount, s.Time
	a.settings.Store(s)
	l := &catalogLook{App: a}
	c := &preflight.Catalog{OID: 7, Columns: map[string]preflight.Column{}}
	for name, f := range exampleSettings().Facts {
		c.Columns[name] = preflight.Column{ColumnFacts: f}
	}
	if err := l.broken(c); err != nil {
		t.Error(err)
	}
	c.Columns["old"] = preflight.Column{ColumnFacts: debezium.ColumnFacts{Type: "int8"}}
	if err := l.broken(c); err != nil {
		t.Error(err)
	}
	delete(c.Columns, "w")
	if err := l.broken(c); err == nil || !strings.Contains(err.Error(), "column w is not there") {
		t.Error(err)
	}
}

// TestInherited: what nothing new has shown is as the group has it, and what the records show is not.
func TestInherited(t *testing.T) {
	recorded := exampleSettings()
	recorded.DecidedUnit = debezium.UnitUs // of a timestamp(3)
	c := config.Config{}
	c.Source, c.Table, c.IDColumn, c.UserColumn, c.AmountColumn, c.TimeColumn = "src", "s.t", recorded.ID, "u", "a", "at"
	c.Format, c.TimeUnit, c.Decimals, c.AmountColumnScale, c.AmountMinorUnits = "auto", "auto", "auto", -1, -1
	set := &brimline.RuleSet{Scale: 2, Columns: []brimline.Column{{Name: "w", Type: brimline.Text}}}
	catalog := &preflight.Catalog{OID: 7, Columns: map[string]preflight.Column{}}
	for name, f := range recorded.Facts {
		catalog.Columns[name] = preflight.Column{ColumnFacts: f}
	}
	e := &examination{catalog: catalog, recorded: recorded}
	if all := differences(recorded, groupSettings(&c, set, e)); len(all) > 0 {
		t.Errorf("nothing was looked at: %q", all)
	}
	e.decided.Adaptive = true
	all := differences(recorded, groupSettings(&c, set, e))
	if len(all) != 1 || !strings.Contains(all[0], "was us, and is ms") {
		t.Errorf("the records have another unit: %q", all)
	}
}

// TestSpared: PostgreSQL that is away stops only who would ask it for totals, or for what the group does not know.
func TestSpared(t *testing.T) {
	var bare codecs.GroupSettings
	for _, c := range []struct {
		verify   string
		stage    processors.StageName
		recorded *codecs.GroupSettings
		want     preflight.Level
	}{
		{"on", processors.Verify, exampleSettings(), preflight.Error},
		{"on", processors.Route, exampleSettings(), preflight.Warning},
		{"on", processors.Route, &bare, preflight.Error},
		{"on", processors.Route, nil, preflight.Error},
		{"off", processors.Verify, nil, preflight.Warning},
	} {
		var conf config.Config
		conf.DatabaseURL, conf.Verify, conf.Stages = "x", c.verify, []string{string(c.stage)}
		e := &examination{recorded: c.recorded}
		e.database(t.Context(), &conf, preflight.DatabaseOptions{URL: "postgres://u@127.0.0.1:1/app", Table: "s.t"})
		if got := preflight.Worst(e.findings); got != c.want || e.catalog != nil {
			t.Errorf("%+v: %+v", c, e.findings)
		}
	}
}
