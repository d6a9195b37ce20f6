package preflight

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs/debezium"
)

// What the numbers and texts of a record mean is decided from all that is known: the settings, the catalog, the
// connector's modes, and the newest records themselves. They must agree.

const (
	remedyUnit = "correct --time-unit, or leave it out; where the connector's time.precision.mode was changed, start a " +
		"new --group over a new snapshot"
	remedyDecimals = "correct --decimals, or leave it out; where the connector's decimal.handling.mode was changed, " +
		"start a new --group over a new snapshot"
)

// moments are the columns whose values may be bare numbers: what is known to be of another type writes none.
func (r *records) moments() (names []string) {
	o := &r.Debezium
	all := []string{o.Time}
	for _, c := range o.Columns {
		if c.Type == brimline.Timestamp {
			all = append(all, c.Name)
		}
	}
	for _, id := range o.ID {
		if f, known := o.Facts[id]; known && f.Type == "timestamp" {
			all = append(all, id)
		}
	}
	for _, name := range all {
		if f, known := o.Facts[name]; !known || f.Type == "timestamp" {
			names = append(names, name)
		}
	}
	return names
}

// A number is a time of a record that comes as a bare number, and the unit that its size shows.
type number struct {
	column string
	n      int64
	unit   debezium.TimeUnit
}

func (n number) String() string {
	t, _ := debezium.Epoch(n.n, n.unit)
	return fmt.Sprintf("column %s: %d as %s is %s", n.column, n.n, n.unit, t)
}

// as shows what the number would be in another unit.
func (n number) as(unit debezium.TimeUnit) string {
	t, ok := debezium.Epoch(n.n, unit)
	if !ok {
		return fmt.Sprintf("%s, and as %s no time that fits", n, unit)
	}
	return fmt.Sprintf("%s, and as %s %s", n, unit, t)
}

// numbers are those of which the record itself says no unit.
func (r *records) numbers() (all []number) {
	moments := r.moments()
	for _, row := range r.rows {
		if row.schema || row.own {
			continue
		}
		for _, name := range moments {
			n, err := strconv.ParseInt(string(bytes.TrimSpace(row.row[name])), 10, 64)
			if err != nil {
				continue
			}
			switch unit := debezium.LooksLike(n); unit {
			case debezium.UnitMs, debezium.UnitUs, debezium.UnitNs:
				all = append(all, number{name, n, unit})
			}
		}
	}
	return all
}

// modes are Debezium's time.precision.mode; isostring writes text.
var modes = map[string]debezium.TimeUnit{
	"adaptive": debezium.UnitAdaptive, "adaptive_time_microseconds": debezium.UnitAdaptive, "connect": debezium.UnitMs,
	"microseconds": debezium.UnitUs, "nanoseconds": debezium.UnitNs,
}

// adaptive is the unit of Debezium's default mode; empty where the column's precision is not known.
func (r *records) adaptive(column string) debezium.TimeUnit {
	f, known := r.Debezium.Facts[column]
	switch {
	case !known:
		return ""
	case f.Precision <= 3:
		return debezium.UnitMs
	}
	return debezium.UnitUs
}

// unit decides the unit of times that are bare numbers. It is empty where no number comes, and where it follows from
// each column's precision; adaptive says that this was shown.
func (r *records) unit() (unit debezium.TimeUnit, adaptive bool) {
	numbers, moments := r.numbers(), r.moments()
	set := r.Debezium.TimeUnit
	if set == debezium.UnitAuto {
		set = ""
	}
	told := r.connectorUnit(moments)
	switch {
	case set != "":
		r.isUnit(set, numbers, "--time-unit is "+string(set), remedyUnit)
		if told == debezium.UnitMs || told == debezium.UnitUs || told == debezium.UnitNs {
			if told != set {
				r.add("units_contradict", remedyUnit, "--time-unit is %s, and connector %q has time.precision.mode=%s, whose "+
					"unit is %s",
					set, r.Connector.Name, r.Connector.TimeMode, told)
			}
		}
		if len(moments) == 0 && len(r.rows) > 0 && !r.numbersAnywhere() {
			r.add("settings_without_effect", "take --time-unit out", "--time-unit is %s, and no time column of %s is a "+
				"timestamp without time zone: the connector writes the others as text", set, r.Debezium.Table)
		}
		return "", false
	case told == debezium.UnitAdaptive:
		r.areAdaptive(numbers, fmt.Sprintf("connector %q has time.precision.mode=%s", r.Connector.Name, r.Connector.TimeMode))
		return "", len(moments) > 0
	case told != "" && len(moments) > 0:
		r.isUnit(told, numbers, fmt.Sprintf("connector %q has time.precision.mode=%s", r.Connector.Name,
			r.Connector.TimeMode),
			"start a new --group over a new snapshot, if that mode was another before")
		r.ok("units", "times of columns without time zone are numbers of %s: connector %q has time.precision.mode=%s", told,
			r.Connector.Name, r.Connector.TimeMode)
		return told, false
	case len(numbers) == 0:
		return "", false
	}
	return r.shown(numbers)
}

// connectorUnit is the unit of the connector's mode, UnitAdaptive for Debezium's default, empty where it is not known.
func (r *records) connectorUnit(moments []string) debezium.TimeUnit {
	if r.Connector == nil {
		return ""
	}
	mode := r.Connector.TimeMode
	for _, name := range moments {
		f, known := r.Debezium.Facts[name]
		if mode == "connect" && known && f.Precision > 3 {
			r.add("connect_settings_cut", "set time.precision.mode=adaptive in the connector, and start a new --group over a "+
				"new snapshot, because earlier records stay cut",
				"connector %q writes times in milliseconds (time.precision.mode=connect), and column %s holds %d digits of a "+
					"second",
				r.Connector.Name, name, f.Precision)
		}
	}
	if mode == "structured" {
		r.add("connect_settings_structured", "set time.precision.mode=adaptive in the connector",
			"connector %q writes times as objects (time.precision.mode=structured)", r.Connector.Name)
	}
	return modes[mode]
}

// isUnit reports numbers that are of another unit.
func (r *records) isUnit(unit debezium.TimeUnit, numbers []number, because, remedy string) {
	for _, n := range numbers {
		if n.unit != unit {
			r.add("units_contradict", remedy, "%s, and the newest records have another unit: %s", because, n.as(unit))
			return
		}
	}
}

func (r *records) areAdaptive(numbers []number, because string) {
	for _, n := range numbers {
		if want := r.adaptive(n.column); want != "" && n.unit != want {
			r.add("units_contradict", "start a new --group over a new snapshot, if that mode was another before",
				"%s, with which the column's precision makes it %s, and the newest records have another unit: %s", because, want,
				n.as(want))
			return
		}
	}
}

// shown decides by what the records show; the catalog must be known, because the size of a number proves nothing alone.
func (r *records) shown(numbers []number) (unit debezium.TimeUnit, adaptive bool) {
	first := numbers[0]
	isAdaptive, same := true, true
	var odd number
	for _, n := range numbers {
		want := r.adaptive(n.column)
		if want == "" {
			r.add("units_unknown", "set --time-unit to what the connector writes (see time.precision.mode), give "+
				"--connect-url, turn on inline schemas, or let brimline ask PostgreSQL",
				"nothing says in which unit times are that come as bare numbers; %s, if it is that", n)
			return "", false
		}
		isAdaptive = isAdaptive && n.unit == want
		if n.unit != first.unit && odd.unit == "" {
			same, odd = false, n
		}
	}
	switch {
	case isAdaptive:
		r.ok("units", "times of columns without time zone are numbers in the unit of Debezium's default mode: %s", first)
		return "", true
	case same:
		r.ok("units", "times of columns without time zone are numbers of %s, as the newest records show: %s", first.unit,
			first)
		return first.unit, false
	}
	r.add("units_contradict", "start a new --group over a new snapshot, if the connector's time.precision.mode was "+
		"changed",
		"the newest records have times in different units: %s; %s", first, odd)
	return "", false
}

// numbersAnywhere reports whether a transform has turned times with a zone into numbers.
func (r *records) numbersAnywhere() bool {
	return slices.ContainsFunc(r.rows, func(s style) bool {
		_, err := strconv.ParseInt(string(bytes.TrimSpace(s.row[r.Debezium.Time])), 10, 64)
		return err == nil
	})
}

// exact are the columns whose values may be decimals as text, and whether some of them hold their scale in no digit.
func (r *records) exact() (names []string, unclear bool) {
	o := &r.Debezium
	all := []string{o.Amount}
	for _, c := range o.Columns {
		if c.Type == brimline.Numeric {
			all = append(all, c.Name)
		}
	}
	for _, name := range all {
		f, known := o.Facts[name]
		if known && f.Type != "numeric" {
			continue
		}
		names = append(names, name)
		unclear = unclear || !known || f.Scale != nil && *f.Scale == 0
	}
	return names, unclear
}

// decimals decides what a decimal's text is where it could be either digits or base64.
func (r *records) decimals() debezium.Decimals {
	names, unclear := r.exact()
	set := r.Debezium.Decimals
	if set == debezium.DecimalsAuto {
		set = ""
	}
	if len(names) == 0 {
		if set != "" {
			r.add("settings_without_effect", "take --decimals out", "--decimals is %s, and no column that is read is a "+
				"numeric", set)
		}
		return ""
	}
	told := debezium.Decimals("")
	if r.Connector != nil {
		told = r.connectorDecimals(names)
	}
	seen, example := r.seenDecimals(names)
	for kind, text := range example {
		if kind == "" {
			continue
		}
		if want := set; want != "" && want != debezium.DecimalsNumeric && kind != want {
			r.add("units_contradict", remedyDecimals, "--decimals is %s, and the newest records have decimals that are %s: %s",
				want,
				kind, text)
		} else if set == "" && told != "" && kind != told && unclear {
			r.add("units_contradict", "start a new --group over a new snapshot, if that mode was another before",
				"connector %q has decimal.handling.mode=%s, and the newest records have decimals that are %s: %s", r.Connector.Name,
				told, kind, text)
		}
	}
	switch {
	case set != "":
		return ""
	case told != "":
		return told
	case len(seen) == 1:
		return seen[0]
	case len(seen) > 1 && unclear:
		r.add("units_contradict", remedyDecimals, "the newest records have decimals of both kinds, digits (%s) and base64 "+
			"(%s)",
			example[debezium.DecimalsString], example[debezium.DecimalsPrecise])
	case unclear && example[""] != "":
		r.add("units_unknown", "set --decimals to string or precise (see decimal.handling.mode), or give --connect-url",
			"nothing says whether decimals are digits or base64: %s is a number either way", example[""])
	}
	return ""
}

func (r *records) connectorDecimals(names []string) debezium.Decimals {
	switch mode := r.Connector.DecimalMode; mode {
	case "string":
		return debezium.DecimalsString
	case "precise":
		return debezium.DecimalsPrecise
	case "double":
		if !r.Debezium.AllowFloatAmounts {
			r.add("connect_settings_floats", "set decimal.handling.mode=string",
				"connector %q sends %s as binary floats, which are not exact", r.Connector.Name, plural(names, "column"))
		}
	}
	return ""
}

// seenDecimals are the kinds of which a text was seen that cannot be the other, with a text of each; one that can is
// under "".
func (r *records) seenDecimals(names []string) (seen []debezium.Decimals, example map[debezium.Decimals]string) {
	example = map[debezium.Decimals]string{}
	for _, row := range r.rows {
		if row.schema || row.own {
			continue
		}
		for _, name := range names {
			raw := bytes.TrimSpace(row.row[name])
			if len(raw) < 2 || raw[0] != '"' {
				continue
			}
			text := raw[1 : len(raw)-1]
			if f, known := r.Debezium.Facts[name]; known && f.Scale == nil || isSpecial(raw) ||
				strings.HasSuffix(strings.ToLower(string(text)), "infinity") {
				continue // a precise numeric without scale is an object
			}
			kind := debezium.DecimalsOf(text)
			if f, known := r.Debezium.Facts[name]; kind == "" && known && *f.Scale > 0 {
				kind = debezium.DecimalsPrecise // digits would have their decimals
			}
			if _, had := example[kind]; !had {
				example[kind] = string(text)
				if kind != "" {
					seen = append(seen, kind)
				}
			}
		}
	}
	return seen, example
}
