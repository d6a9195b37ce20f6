package app

import (
	"context"
	"fmt"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// A group alerts from a time on, or always. That is settled when the group begins, by whichever instance is first, and
// written down in the topic of rules before any stage starts: instances with different times would write alerts that
// depend on who decided them.

// alwaysAlerts is the value of the record of a group that began without a time.
const alwaysAlerts = "none"

// settleID is the transactional id under which what a group began with is settled.
func settleID(s processors.Streams) string { return s.Rules }

// AlertsFromInForce reads from when on the group alerts from its topic of rules; 0: always.
func AlertsFromInForce(ctx context.Context, c *kafka.Cluster, topic string) (brimline.Time, error) {
	var value []byte
	err := c.Tail(ctx, topic, kafka.Oldest, false, func(m *kafka.Message) error {
		if string(m.Key) == processors.AlertsFromKey {
			value = m.Value
		}
		return nil
	})
	if err != nil || value == nil {
		return 0, err
	}
	return parseAlertsFrom(topic, value)
}

// settleAlertsFrom gives the time from which the group alerts, 0 for always. A new group's is that of this instance.
func (a *App) settleAlertsFrom(ctx context.Context) (from brimline.Time, err error) {
	now := brimline.TimeOf(a.clock())
	decide := func(newest map[string][]byte) (map[string][]byte, error) {
		group, err := alertsFromOf(newest, a.streams.Rules)
		if err != nil {
			return nil, err
		}
		if from, err = alertsFrom(a.config.AlertsFrom, group, now); err != nil || group != nil {
			return nil, err
		}
		return map[string][]byte{processors.AlertsFromKey: []byte(formatAlertsFrom(from))}, nil
	}
	err = a.cluster.Settle(ctx, a.kafka, settleID(a.streams), a.streams.Rules, decide)
	if err == nil && from != 0 {
		a.log.Info("the group alerts from a time on; edges before it are dismissed as "+brimline.ReasonBeforeAlertsFrom,
			"from", from)
	}
	return from, err
}

// alertsFromOf reads the setting from the records of the group's topic of rules; nil for a new group.
func alertsFromOf(newest map[string][]byte, topic string) (*brimline.Time, error) {
	value, recorded := newest[processors.AlertsFromKey]
	if !recorded {
		if _, begun := newest[rulesKey]; begun { // by a version that wrote no such record
			return new(brimline.Time), nil
		}
		return nil, nil
	}
	t, err := parseAlertsFrom(topic, value)
	return &t, err
}

// alertsFrom is the time from which a group alerts, 0 for always. setting is what this instance says; group is what
// the group has, nil for one that is new.
func alertsFrom(setting string, group *brimline.Time, now brimline.Time) (brimline.Time, error) {
	wanted, err := config.AlertsFrom(setting, now)
	switch {
	case err != nil:
		return 0, err
	case group == nil:
		return wanted, nil
	case setting == "" || setting == config.Now && *group != 0 || wanted == *group:
		return *group, nil
	}
	has := "began without"
	if *group != 0 {
		has = "alerts from " + group.String() + " on"
	}
	return 0, &brimline.Error{
		Class: brimline.ClassInput, Kind: "alerts_from", Where: "--alerts-from " + setting,
		Remedy: "leave the setting out, or start a new --group with it",
		Err:    fmt.Errorf("it applies to a new --group, and this one %s", has),
	}
}

func formatAlertsFrom(t brimline.Time) string {
	if t == 0 {
		return alwaysAlerts
	}
	return t.String()
}

func parseAlertsFrom(topic string, value []byte) (brimline.Time, error) {
	if string(value) == alwaysAlerts {
		return 0, nil
	}
	t, err := brimline.ParseTime(string(value))
	if err != nil {
		return 0, &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "rules_record", Where: fmt.Sprintf("topic %q, record "+
				"%s", topic, processors.AlertsFromKey),
			Remedy: "use the version of brimline that wrote it, or `brimline reset`", Err: err,
		}
	}
	return t, nil
}
