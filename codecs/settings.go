package codecs

import (
	"fmt"
	"maps"
	"slices"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
)

// GroupSettings says what the rows of a group mean, as its first instance wrote it down: the table that they are of,
// and the units and types in which debezium.Decoder reads them. Members with another meaning must not share a table.
type GroupSettings struct {
	Source string // topic of the change stream
	Table  string
	ID     []string
	User   string
	Amount string
	Time   string
	Scale  int // decimals of amounts
	Format debezium.Format
	// TimeUnit, Decimals, AmountColumnScale, AmountMinorUnits and AllowFloatAmounts are the settings, as in
	// debezium.Options.
	TimeUnit          debezium.TimeUnit
	Decimals          debezium.Decimals
	AmountColumnScale *int
	AmountMinorUnits  int
	AllowFloatAmounts bool

	// DecidedUnit and DecidedDecimals are what the checks at the start found where the settings leave it open, as in
	// debezium.Options. They are empty where nothing had to be found, or no record has shown it yet.
	DecidedUnit     debezium.TimeUnit
	DecidedDecimals debezium.Decimals

	// TableOID is the table's in PostgreSQL; 0, like no Facts, where the catalog has not been read yet.
	TableOID uint32
	Facts    map[string]debezium.ColumnFacts // of the columns above and of those of the rules
	Identity debezium.Identity

	// Flow is the version of the streams between the stages, from 2 on; 0 is the first. Records of the second have a
	// version of their own: a program that knows the first alone would leave a stream unread.
	Flow int

	// By, Program and At say which instance wrote it, of which version, and when.
	By      string
	Program string
	At      brimline.Time
}

// Settings is the codec of *GroupSettings, a record of the rules topic.
type Settings struct{}

type settingsRecord struct {
	Version           int               `json:"version"`
	By                string            `json:"by"`
	Program           string            `json:"program"`
	At                *brimline.Time    `json:"at,omitempty"`
	Source            string            `json:"source"`
	Table             string            `json:"table"`
	ID                []string          `json:"id_columns"`
	User              string            `json:"user_column"`
	Amount            string            `json:"amount_column"`
	Time              string            `json:"time_column"`
	Scale             int               `json:"scale"`
	Format            debezium.Format   `json:"format"`
	AllowFloatAmounts bool              `json:"allow_float_amounts"`
	TimeUnit          debezium.TimeUnit `json:"time_unit"`
	Decimals          debezium.Decimals `json:"decimals"`
	AmountColumnScale *int              `json:"amount_column_scale,omitempty"`
	AmountMinorUnits  int               `json:"amount_minor_units"`
	Flow              int               `json:"flow,omitempty"`
	DecidedUnit       debezium.TimeUnit `json:"decided_unit,omitempty"`
	DecidedDecimals   debezium.Decimals `json:"decided_decimals,omitempty"`
	TableOID          uint32            `json:"table_oid,omitempty"`
	Columns           []factsRecord     `json:"columns,omitempty"`
	Identity          *identityRecord   `json:"replica_identity,omitempty"`
}

type factsRecord struct {
	Name      string  `json:"name"`
	Type      string  `json:"type"`
	Precision int     `json:"precision,omitempty"`
	Scale     *int    `json:"scale,omitempty"`
	Default   *string `json:"default,omitempty"`
	NotNull   bool    `json:"not_null,omitempty"`
}

type identityRecord struct {
	Full    bool     `json:"full,omitempty"`
	Columns []string `json:"columns,omitempty"`
}

// settingsVersion is that of records with a Flow.
const settingsVersion = 2

const aSettings = "the record of the group's settings"

// Encode takes a *GroupSettings.
func (Settings) Encode(v any) ([]byte, error) {
	s, ok := v.(*GroupSettings)
	if !ok {
		return nil, mistyped("group settings", v)
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	r := settingsRecord{
		Version: recordVersion, By: s.By, Program: s.Program, At: optionalTime(s.At),
		Source: s.Source, Table: s.Table, ID: s.ID, User: s.User, Amount: s.Amount, Time: s.Time, Scale: s.Scale,
		Format: s.Format, AllowFloatAmounts: s.AllowFloatAmounts, TimeUnit: s.TimeUnit, Decimals: s.Decimals,
		AmountColumnScale: s.AmountColumnScale, AmountMinorUnits: s.AmountMinorUnits,
		DecidedUnit: s.DecidedUnit, DecidedDecimals: s.DecidedDecimals, TableOID: s.TableOID, Flow: s.Flow,
	}
	if s.Flow != 0 {
		r.Version = settingsVersion
	}
	if r.ID == nil {
		r.ID = []string{}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Facts)) {
		f := s.Facts[name]
		r.Columns = append(r.Columns, factsRecord{name, f.Type, f.Precision, f.Scale, f.Default, f.NotNull})
	}
	if i := s.Identity; i.Known {
		r.Identity = &identityRecord{i.Full, i.Columns}
	}
	return marshal(r)
}

// Decode gives a *GroupSettings.
func (Settings) Decode(b []byte) (any, error) {
	var r settingsRecord
	if err := unmarshalUpTo(settingsVersion, aSettings, b, &r); err != nil {
		return nil, err
	}
	if (r.Flow != 0) != (r.Version == settingsVersion) {
		return nil, corrupt(aSettings, fmt.Errorf("version %d with flow %d", r.Version, r.Flow))
	}
	s := &GroupSettings{
		Source: r.Source, Table: r.Table, ID: r.ID, User: r.User, Amount: r.Amount, Time: r.Time, Scale: r.Scale,
		Format: r.Format, AllowFloatAmounts: r.AllowFloatAmounts, TimeUnit: r.TimeUnit, Decimals: r.Decimals,
		AmountColumnScale: r.AmountColumnScale, AmountMinorUnits: r.AmountMinorUnits,
		DecidedUnit: r.DecidedUnit, DecidedDecimals: r.DecidedDecimals, TableOID: r.TableOID, Flow: r.Flow,
		By: r.By, Program: r.Program, At: timeOrZero(r.At),
	}
	if len(s.ID) == 0 {
		s.ID = nil
	}
	if len(r.Columns) > 0 {
		s.Facts = make(map[string]debezium.ColumnFacts, len(r.Columns))
	}
	for _, c := range r.Columns {
		if _, twice := s.Facts[c.Name]; twice || c.Type == "" {
			return nil, corrupt(aSettings, fmt.Errorf("column %q", c.Name))
		}
		s.Facts[c.Name] = debezium.ColumnFacts{Type: c.Type, Precision: c.Precision, Scale: c.Scale, Default: c.Default,
			NotNull: c.NotNull}
	}
	if i := r.Identity; i != nil {
		s.Identity = debezium.Identity{Known: true, Full: i.Full, Columns: i.Columns}
	}
	if err := s.check(); err != nil {
		return nil, corrupt(aSettings, err)
	}
	return s, nil
}

func (s *GroupSettings) check() error {
	switch {
	case s.Flow < 0 || s.Flow == 1:
		return fmt.Errorf("flow %d", s.Flow)
	case s.Scale < 0 || s.Scale > brimline.MaxScale:
		return fmt.Errorf("scale %d", s.Scale)
	case !s.Format.Valid():
		return fmt.Errorf("format %q", s.Format)
	case !s.TimeUnit.Valid():
		return fmt.Errorf("time unit %q", s.TimeUnit)
	case !s.DecidedUnit.ValidDecided():
		return fmt.Errorf("decided time unit %q", s.DecidedUnit)
	case !s.Decimals.Valid():
		return fmt.Errorf("decimals %q", s.Decimals)
	case !s.DecidedDecimals.ValidDecided():
		return fmt.Errorf("decided decimals %q", s.DecidedDecimals)
	case s.AmountColumnScale != nil && (*s.AmountColumnScale < 0 || *s.AmountColumnScale > debezium.MaxColumnScale):
		return fmt.Errorf("amount column scale %d", *s.AmountColumnScale)
	case s.AmountMinorUnits < 0 || s.AmountMinorUnits > brimline.MaxScale:
		return fmt.Errorf("amount minor units %d", s.AmountMinorUnits)
	}
	return nil
}

// Known reports whether the record says what the columns are.
func (s *GroupSettings) Known() bool { return len(s.Facts) > 0 }

// Unit is the unit of times that are bare numbers: the one that was set or found; else the adaptive mode's for the
// precision of the time column; empty where that is not known.
func (s *GroupSettings) Unit() debezium.TimeUnit {
	switch {
	case s.TimeUnit != debezium.UnitAuto:
		return s.TimeUnit
	case s.DecidedUnit != "":
		return s.DecidedUnit
	case s.Known() && s.adaptiveUnit() != "":
		return s.adaptiveUnit()
	}
	return ""
}

func (s *GroupSettings) adaptiveUnit() debezium.TimeUnit {
	if f, ok := s.Facts[s.Time]; ok && f.Type == "timestamp" {
		return f.AdaptiveUnit()
	}
	return ""
}

// DecimalsKnown is how decimals come as text: as it was set or found out, else empty.
func (s *GroupSettings) DecimalsKnown() debezium.Decimals {
	if s.Decimals != debezium.DecimalsAuto {
		return s.Decimals
	}
	return s.DecidedDecimals
}

// AmountScale is the number of decimals of the amount column; nil where that is not known, or it has any number.
func (s *GroupSettings) AmountScale() *int {
	if f, ok := s.Facts[s.Amount]; ok {
		return f.Scale
	}
	return s.AmountColumnScale
}
