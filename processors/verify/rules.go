package verify

import (
	"sync"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// ruleCache compiles the rules that candidates carry, each once. Their number
// is that of the rules that were ever in force while candidates waited.
type ruleCache struct {
	compile func(rule brimline.Rule) (sliding.Rule, error)
	mu      sync.Mutex
	rules   map[uint64]*sliding.Rule
}

func (r *ruleCache) of(rule *brimline.Rule) (*sliding.Rule, error) {
	fingerprint := rule.Fingerprint()
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.rules[fingerprint]; known != nil {
		return known, nil
	}
	compiled, err := r.compile(*rule)
	if err != nil {
		return nil, brimline.BadInput("bad_rule",
			"put the rule's columns back into the rules file and retry, or drop the candidate",
			"rule %q of the candidate: %w", rule.ID, err)
	}
	r.rules[fingerprint] = &compiled
	return &compiled, nil
}
