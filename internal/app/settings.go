package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/codecs/debezium"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/preflight"
	"github.com/brimline/brimline/processors"
)

// What the rows of a group mean is written down by its first instance, in the topic of rules beside them. A later one
// may add what has become known since, and is refused where it would say otherwise.

// settings is the record of what the group's rows mean; nil where there is none.
func (c rulesTopic) settings(ctx context.Context, topic string) (recorded *codecs.GroupSettings, err error) {
	var last []byte
	err = c.Tail(ctx, topic, kafka.Oldest, false, func(m *kafka.Message) error {
		if string(m.Key) == processors.SettingsKey {
			last = m.Value
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return settingsOf(last, topic)
}

func settingsOf(value []byte, topic string) (*codecs.GroupSettings, error) {
	if value == nil {
		return nil, nil
	}
	v, err := codecs.Settings{}.Decode(value)
	if err != nil {
		return nil, &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "group_record", Where: fmt.Sprintf("topic %q", topic),
			Remedy: "use the version of brimline that wrote it, or start a new --group", Err: err,
		}
	}
	s := v.(*codecs.GroupSettings)
	if s.Flow > processors.FlowVersion {
		return nil, &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "group_record", Where: fmt.Sprintf("topic %q", topic),
			Remedy: "use the version of brimline that wrote it, or start a new --group",
			Err:    fmt.Errorf("the streams of this group are those of a newer brimline (%s, instance %s)", s.Program, s.By),
		}
	}
	return s, nil
}

// groupSettings are those of this configuration, with what is known.
func groupSettings(c *config.Config, set *brimline.RuleSet, e *examination) *codecs.GroupSettings {
	o := DecoderOptions(c, set)
	s := &codecs.GroupSettings{
		Source: c.Source, Table: c.Table, ID: c.IDColumn, User: c.UserColumn, Amount: c.AmountColumn, Time: c.TimeColumn,
		Scale: set.Scale, Format: o.Format, TimeUnit: o.TimeUnit, Decimals: o.Decimals,
		AmountColumnScale: o.AmountColumnScale,
		AmountMinorUnits:  o.AmountMinorUnits, AllowFloatAmounts: o.AllowFloatAmounts,
		DecidedUnit: e.decided.Unit, DecidedDecimals: e.decided.Decimals, Flow: processors.FlowVersion,
	}
	if e.catalog != nil {
		s.TableOID, s.Identity = e.catalog.OID, e.catalog.Identity
		s.Facts = e.catalog.Facts(watched(c, set))
	}
	e.inherit(s, e.recorded)
	return s
}

// inherit takes from the group the unit that nothing has shown to be another one since.
func (e *examination) inherit(s, recorded *codecs.GroupSettings) {
	if recorded != nil && s.DecidedUnit == "" && !e.decided.Adaptive {
		s.DecidedUnit = recorded.DecidedUnit
	}
}

// differences lists, in words, the settings in which instances of a group must not differ.
func differences(before, after *codecs.GroupSettings) (all []string) {
	differ := func(setting string, was, is any) {
		if w, i := fmt.Sprint(was), fmt.Sprint(is); w != i {
			all = append(all, fmt.Sprintf("%s was %s, and is %s", setting, w, i))
		}
	}
	list := func(names []string) string { return strings.Join(names, ",") }
	differ("--source", before.Source, after.Source)
	differ("--table", before.Table, after.Table)
	differ("--id-column", list(before.ID), list(after.ID))
	differ("--user-column", before.User, after.User)
	differ("--amount-column", before.Amount, after.Amount)
	differ("--time-column", before.Time, after.Time)
	differ("scale", before.Scale, after.Scale)
	differ("--format", before.Format, after.Format)
	differ("--amount-minor-units", before.AmountMinorUnits, after.AmountMinorUnits)
	differ("--allow-float-amounts", before.AllowFloatAmounts, after.AllowFloatAmounts)
	if was, is := before.Unit(), after.Unit(); was != "" && is != "" {
		differ("--time-unit", was, is)
	}
	if was, is := before.DecimalsKnown(), after.DecimalsKnown(); was != "" && is != "" {
		differ("--decimals", was, is)
	}
	if was, is := before.AmountScale(), after.AmountScale(); was != nil && is != nil {
		differ("the decimals of column "+before.Amount, *was, *is)
	}
	for _, name := range slices.Sorted(maps.Keys(before.Facts)) {
		was := before.Facts[name]
		if is, known := after.Facts[name]; known && !sameKind(was, is) {
			all = append(all, fmt.Sprintf("column %s was %s, and is %s", name, was, is))
		}
	}
	return all
}

// kinds are types whose values read alike.
var kinds = map[string]string{"int2": "integer", "int4": "integer", "int8": "integer", "varchar": "text"}

// sameKind reports whether rows that were read as was mean the same as is: a wider integer or text does, another scale
// of a numeric or precision of a time does not.
func sameKind(was, is debezium.ColumnFacts) bool {
	kind := func(t string) string {
		if k, ok := kinds[t]; ok {
			return k
		}
		return t
	}
	scale := func(f debezium.ColumnFacts) string {
		if f.Scale == nil {
			return ""
		}
		return fmt.Sprint(*f.Scale)
	}
	return kind(was.Type) == kind(is.Type) && was.Precision == is.Precision && scale(was) == scale(is)
}

// refusal is the finding about a group that began with other settings; none where it did not.
func refusal(recorded, ours *codecs.GroupSettings) []preflight.Finding {
	all := differences(recorded, ours)
	if len(all) == 0 {
		return nil
	}
	return []preflight.Finding{preflight.Found("group_settings",
		"start a new --group, which reads the change stream from the beginning, or go back to what this one began with",
		"the rows of this group would mean something else than since it began (%s, instance %s): %s", recorded.At,
		recorded.By,
		strings.Join(all, "; "))}
}

// changes are the findings about columns and a table that are not quite what the group began with.
func changes(recorded, ours *codecs.GroupSettings) (findings []preflight.Finding) {
	if recorded.TableOID != 0 && ours.TableOID != 0 && recorded.TableOID != ours.TableOID {
		findings = append(findings, preflight.Found("group_table_replaced",
			"start a new --group over a new snapshot, unless its rows are those that the stream has already",
			"table %s is not the one that this group began with (oid %d, now %d): what was written to the new one before it "+
				"was published is not in the stream", ours.Table, recorded.TableOID, ours.TableOID))
	}
	for _, name := range slices.Sorted(maps.Keys(recorded.Facts)) {
		was := recorded.Facts[name]
		if is, known := ours.Facts[name]; known && sameKind(was, is) && was.String() != is.String() {
			findings = append(findings, preflight.Found("group_columns_changed", "", "column %s was %s, and is %s", name, was,
				is))
		}
	}
	return findings
}

// agree writes down what rows mean where no instance has, or where more is known now, and settles how they are read.
func (a *App) agree(ctx context.Context, e *examination) error {
	ours := groupSettings(&a.config, &a.rules.RuleSet, e)
	ours.By, ours.Program, ours.At = a.place.Instance, a.version, brimline.TimeOf(a.clock())
	if e.recorded == nil && e.catalog == nil && a.config.Verify != "off" {
		return a.read(ours) // another instance writes it down; this one does not read the stream
	}
	var agreed *codecs.GroupSettings
	decide := func(newest map[string][]byte) (map[string][]byte, error) {
		recorded, err := settingsOf(newest[processors.SettingsKey], a.streams.Rules)
		if err != nil {
			return nil, err
		}
		if agreed = ours; recorded != nil {
			e.inherit(ours, recorded)
			if err := preflight.Err(refusal(recorded, ours)); err != nil {
				return nil, err
			}
			if agreed = learned(recorded, ours); agreed == nil {
				agreed = recorded
				return nil, nil
			}
		}
		value, err := codecs.Settings{}.Encode(agreed)
		return map[string][]byte{processors.SettingsKey: value}, err
	}
	if err := a.cluster.Settle(ctx, a.kafka, settleID(a.streams), a.streams.Rules, decide); err != nil {
		return err
	}
	return a.read(agreed)
}

// learned is recorded with what ours knows beyond it; nil where that is nothing.
func learned(recorded, ours *codecs.GroupSettings) *codecs.GroupSettings {
	if recorded == nil {
		return ours
	}
	next, more := *recorded, false
	if next.Flow < ours.Flow {
		next.Flow, more = ours.Flow, true
	}
	if next.DecidedUnit == "" && ours.DecidedUnit != "" {
		next.DecidedUnit, more = ours.DecidedUnit, true
	}
	if next.DecidedDecimals == "" && ours.DecidedDecimals != "" {
		next.DecidedDecimals, more = ours.DecidedDecimals, true
	}
	if next.Unit() == "" && ours.TimeUnit != debezium.UnitAuto && next.TimeUnit != ours.TimeUnit {
		next.TimeUnit, more = ours.TimeUnit, true
	}
	if next.DecimalsKnown() == "" && ours.Decimals != debezium.DecimalsAuto && next.Decimals != ours.Decimals {
		next.Decimals, more = ours.Decimals, true
	}
	facts := maps.Clone(next.Facts)
	for name, f := range ours.Facts {
		if was, known := facts[name]; !known || was.String() != f.String() {
			if facts == nil {
				facts = map[string]debezium.ColumnFacts{}
			}
			facts[name], more = f, true
		}
	}
	next.Facts = facts
	if ours.Identity.Known && (!next.Identity.Known || next.Identity.Full != ours.Identity.Full ||
		!slices.Equal(next.Identity.Columns, ours.Identity.Columns)) {
		next.Identity, more = ours.Identity, true
	}
	if next.TableOID == 0 && ours.TableOID != 0 {
		next.TableOID, more = ours.TableOID, true
	}
	if !more {
		return nil
	}
	next.By, next.Program, next.At = ours.By, ours.Program, ours.At
	return &next
}

// read makes the decoder that reads rows as the group does.
func (a *App) read(s *codecs.GroupSettings) error {
	o := DecoderOptions(&a.config, &a.rules.RuleSet)
	o.Facts, o.Identity, o.OnSurprise = s.Facts, s.Identity, a.surprised
	o.DecidedUnit, o.DecidedDecimals = s.DecidedUnit, s.DecidedDecimals
	var next *debezium.Decoder
	var err error
	if before := a.decoder.Load(); before != nil {
		next, err = before.With(o)
	} else {
		next, err = debezium.New(o)
	}
	if err != nil {
		return err
	}
	a.decoder.Store(next)
	a.settings.Store(s)
	return nil
}

// awaitSettings waits until an instance that may ask PostgreSQL has written down what rows mean. It ends early with
// ctx's error.
func (a *App) awaitSettings(ctx context.Context) error {
	if a.decoder.Load() != nil {
		return nil
	}
	waiting := &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "group_settings_missing", Where: fmt.Sprintf("group %q", a.config.Group),
		Remedy: "start an instance that has --database-url, or give it to this one, or run all with --verify=off",
		Err: fmt.Errorf("no instance has written down yet what the columns of %s are, and this one has no database to "+
			"ask", a.config.Table),
	}
	a.gate.closeFor(waiting, true)
	a.log.Warn("waiting", "error", waiting)
	tick := time.NewTicker(gateEvery)
	defer tick.Stop()
	for {
		s, err := rulesTopic{a.cluster}.settings(ctx, a.streams.Rules)
		if err == nil && s != nil && s.Known() {
			e, err := a.check(ctx) // with what the group knows, the records can be looked at
			if err != nil {
				return err
			}
			return a.agree(ctx, e)
		}
		if err != nil && ctx.Err() == nil {
			a.log.Debug("cannot read what the group has written down; looking again", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
