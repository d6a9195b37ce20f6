// Package processors declares the flow: which stages there are, what each
// reads, writes and keeps, and what all of it is called. The stages themselves
// are the packages below it.
package processors

// Streams names every topic, table and consumer group of one brimline group.
// It is the only place where such a name is made.
type Streams struct {
	Group string // the name that the others start with

	Source      string // the change stream, written by Debezium or `brimline capture`
	Changes     string // changes keyed by user
	DeadLetters string // records that could not be taken in
	Candidates  string // edges, and what else live rows ask of PostgreSQL
	Questions   string // what old rows ask of PostgreSQL, which nothing live waits for
	Again       string // edges that PostgreSQL dismissed, to be asked about again
	Dismissed   string // candidates that PostgreSQL did not confirm
	Shadow      string // alerts of rules that are on trial
	Alerts      string // what it is all for
	Reports     string // the newest results of what is compared now and then
	Rules       string // the rules in force, and from when on the group alerts

	RouteGroup  string // consumer groups
	WindowGroup string
	VerifyGroup string
	IndexGroup  string

	WindowTable string // goka tables, named by goka after their group
	// WindowSegments is the window stage's name of its own table where it writes segments of users' states: goka has no
	// other way to write a key that is not the message's. It is no topic; producers send its records to WindowTable.
	WindowSegments string
	IndexTable     string
	IndexLoop      string // goka's loop topic of the index group
}

// RulesKey is the key of the record of the rules in force, in the topic of rules.
const RulesKey = "rules"

// AlertsFromKey is the key of the record beside it that says from when on the group alerts.
const AlertsFromKey = "alerts-from"

// LivesKey is the key of the record beside it that lists the ids of the topics that have been the source, in order.
const LivesKey = "lives"

// SettingsKey is the key of the record beside it that says what the group's rows mean.
const SettingsKey = "settings"

// ProofKey is the key of the record, in the topic of reports, of the newest comparison of the alerts with the table.
const ProofKey = "proof"

// AuditKey is the key of that of the newest comparison of the windows' rows with the table.
const AuditKey = "audit"

// NewStreams names the parts of group; source and alerts are topics that others share.
func NewStreams(group, source, alerts string) Streams {
	return Streams{
		Group:  group,
		Source: source, Alerts: alerts,
		Changes: group + "-changes", DeadLetters: group + "-deadletter",
		Candidates: group + "-candidates", Questions: group + "-questions", Again: group + "-again",
		Dismissed: group + "-dismissed", Shadow: group + "-shadow", Reports: group + "-reports", Rules: group + "-rules",
		RouteGroup: group + "-route", WindowGroup: group + "-window",
		VerifyGroup: group + "-verify", IndexGroup: group + "-index",
		WindowTable: group + "-window-table", WindowSegments: group + "-window-segments",
		IndexTable: group + "-index-table", IndexLoop: group + "-index-loop",
	}
}

// Groups are the consumer groups in the order of the flow.
func (s Streams) Groups() []string {
	return []string{s.RouteGroup, s.WindowGroup, s.VerifyGroup, s.IndexGroup}
}

// Owned are the topics that belong to the group alone: what a reset deletes.
func (s Streams) Owned() []string {
	return []string{s.Changes, s.DeadLetters, s.Candidates, s.Questions, s.Again, s.Dismissed, s.Shadow, s.Reports,
		s.Rules, s.WindowTable, s.IndexTable, s.IndexLoop}
}

// Asks says whether a topic of the group is one that verify reads.
func (s Streams) Asks(topic string) bool { return topic == s.Candidates || topic == s.Questions }
