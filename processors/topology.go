package processors

// StageName is a stage as `--stages` and metrics call it.
type StageName string

// The stages, in the order of the flow.
const (
	Route  StageName = "route"
	Window StageName = "window"
	Verify StageName = "verify"
	Index  StageName = "index"
)

// StageNames are all stages in the order of the flow.
func StageNames() []StageName { return []StageName{Route, Window, Verify, Index} }

// FlowVersion says which streams there are between stages and what is in them. Members of a group with different ones
// would leave something unread, so they never share it. 1: all candidates in one stream; 2: questions about old rows
// travel apart; 3: the questions of a message are one record; 4: dismissed edges are asked about again; 5: changes and
// windows say where they stand in the source, and window writes to changes; 6: verify's position names users who are
// kept back, and candidates name later edges; 7: PostgreSQL is asked about users above a limit, rules may be shadows,
// and windows note their newest change; 8: markers of the window table are records of their own.
const FlowVersion = 8

// Stream is one stream that a stage reads or writes.
type Stream struct {
	Topic string
	Key   string // what its records are keyed by
	What  string // what its records are
}

// Stage is one step of the flow.
type Stage struct {
	Name  StageName
	Group string
	In    []Stream
	Out   []Stream
	Table *Stream // goka table, nil for a stateless stage
	Loop  *Stream // goka loop, nil where there is none
}

// Topology is the flow as data. `brimline topology` prints it, the app creates
// topics from it, and a golden file guards it.
func Topology(s Streams) []Stage {
	changes := Stream{s.Changes, "user", "changes to a user's rows, and verify's answers"}
	candidates := Stream{s.Candidates, "user", "edges to be asked of PostgreSQL"}
	questions := Stream{s.Questions, "user", "what old rows ask of PostgreSQL, which nothing live waits for"}
	again := Stream{s.Again, "user", "edges that PostgreSQL dismissed, to be asked about again"}
	dead := Stream{s.DeadLetters, "as it came", "records that could not be taken in"}
	alerts := Stream{s.Alerts, "user/rule/edge-time", "verified alerts, each once"}
	shadow := Stream{s.Shadow, "user/rule/edge-time", "the same of rules that are on trial"}
	return []Stage{
		{
			Name: Route, Group: s.RouteGroup,
			In:  []Stream{{s.Source, "primary key", "change events as Debezium writes them"}},
			Out: []Stream{changes, dead},
		},
		{
			Name: Window, Group: s.WindowGroup,
			In: []Stream{changes},
			Out: []Stream{candidates, questions, dead,
				{s.Changes, "user", "that a TRUNCATE took some of a user's rows, and not all"}},
			Table: &Stream{s.WindowTable, "user", "retained rows and announced edges"},
		},
		{
			Name: Verify, Group: s.VerifyGroup,
			In: []Stream{candidates, questions, again},
			Out: []Stream{
				alerts, shadow, {s.Dismissed, "user/rule/edge-time", "candidates that PostgreSQL dismissed"}, again, changes, dead,
			},
		},
		{
			Name: Index, Group: s.IndexGroup,
			In:    []Stream{alerts},
			Table: &Stream{s.IndexTable, "user", "newest alerts"},
			Loop:  &Stream{s.IndexLoop, "user", "alerts on their way to the user's partition"},
		},
	}
}
