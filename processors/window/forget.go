package window

import "github.com/brimline/brimline"

// forgetUser deletes what is known of a user, whom the message says to forget. What is left is up to when, by which
// PostgreSQL answers for windows that reach below: its table may still have rows of the user, and an empty window would
// be believed. Sweeps delete that in their time.
//
// What was announced is forgotten, too. So that no edge from before is alerted again, answers about those and changes
// to the rows of then announce nothing, as if the rules had begun now.
func (s *step) forgetUser() bool {
	now := s.in.At // not by the clock where the command was given, which may be wrong
	if now == 0 {
		now = s.in.Change.Row.Time
	}
	floor := max(now, s.w.Floor, s.rows.Newest(), s.versions.newest) // rows may be dated ahead
	rules := make([]brimline.RuleState, len(s.rules))
	for i := range s.rules {
		rules[i] = brimline.RuleState{Rule: s.rules[i].Fingerprint, Quiet: now}
		if was := s.w.Rules[i].Quiet; was != 0 {
			rules[i].Quiet = max(now, was)
		}
	}
	s.empty()
	s.setRules(rules)
	s.w.Floor = floor
	s.w.Asked, s.w.Apart, s.w.Reach = brimline.Cause{}, brimline.Cause{}, 0
	s.w.Stirred, s.w.Doubt, s.w.Above = brimline.Stir{}, brimline.Doubt{}, brimline.Above{}
	return true
}
