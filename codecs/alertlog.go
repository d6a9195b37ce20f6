package codecs

import "github.com/brimline/brimline"

// AlertLog is the codec of []*brimline.Alert, the values of the index table:
// {"version":1,"alerts":[…]}, each as Alert writes it.
type AlertLog struct{}

type alertLogRecord struct {
	Version int            `json:"version"`
	Alerts  []*alertRecord `json:"alerts"`
}

// ForgetAlerts is a value of the index stage's loop: under a user's key it deletes the user's list of alerts.
const ForgetAlerts = `{"version":1,"forget":true}`

const anAlertLog = "a value of the index table"

// Encode takes a []*brimline.Alert without nils.
func (AlertLog) Encode(v any) ([]byte, error) {
	alerts, ok := v.([]*brimline.Alert)
	if !ok {
		return nil, mistyped("alert logs", v)
	}
	r := alertLogRecord{Version: recordVersion, Alerts: make([]*alertRecord, len(alerts))}
	for i, a := range alerts {
		var err error
		if r.Alerts[i], err = alertOf(a); err != nil {
			return nil, err
		}
	}
	return marshal(r)
}

// Decode gives a []*brimline.Alert, nil for an empty log.
func (AlertLog) Decode(b []byte) (any, error) {
	var r alertLogRecord
	if err := unmarshal(anAlertLog, b, &r); err != nil {
		return nil, err
	}
	var alerts []*brimline.Alert
	for _, record := range r.Alerts {
		if record == nil {
			return nil, corrupt(anAlertLog, errTruncated)
		}
		a, err := record.alert()
		if err != nil {
			return nil, corrupt(anAlertLog, err)
		}
		alerts = append(alerts, a)
	}
	return alerts, nil
}
