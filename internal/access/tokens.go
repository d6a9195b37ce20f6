package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/brimline/brimline"
)

// Role says how much a token opens.
type Role int

// The roles, each good for what those before it are.
const (
	None    Role = iota
	Read         // everything that is shown
	Operate      // what changes something
)

func (r Role) String() string {
	switch r {
	case Read:
		return "read"
	case Operate:
		return "operate"
	}
	return "none"
}

// Who is the owner of a token.
type Who struct {
	Name string
	Role Role
	// ID names the token without giving it away, even to who has its hash.
	ID string
}

// How long tokens may be, in bytes. A shorter one could be guessed.
const (
	leastToken = 16
	mostToken  = 512
	mostTokens = 10_000
)

// hashed begins a token of which the file has the SHA-256 alone, in hex.
const hashed = "sha256:"

type token struct {
	sum  [sha256.Size]byte
	who  Who
	line int
}

// Tokens are those of a file. None are good for nothing.
type Tokens struct {
	all   []token
	plain bool // one at least stands there itself
}

// Plain tells whether a token can be read in the file.
func (t *Tokens) Plain() bool { return t.plain }

// Len is the number of tokens.
func (t *Tokens) Len() int { return len(t.all) }

// Of gives the owner of a token. It takes as long for each token of a length, right or wrong.
func (t *Tokens) Of(presented string) (Who, bool) {
	if len(presented) > mostToken {
		return Who{}, false
	}
	sum, found := sha256.Sum256([]byte(presented)), -1
	for i := range t.all {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], t.all[i].sum[:]), i, found)
	}
	if found < 0 {
		return Who{}, false
	}
	return t.all[found].who, true
}

// ByID gives the owner of the token with an ID.
func (t *Tokens) ByID(id string) (Who, bool) {
	for i := range t.all {
		if t.all[i].who.ID == id {
			return t.all[i].who, true
		}
	}
	return Who{}, false
}

var ownerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)

// Parse reads the text of a file of tokens. Errors are of ClassInput and name lines, all that are wrong, and never
// repeat what stands there: it may be a token.
func Parse(path string, text []byte) (*Tokens, error) {
	t := &Tokens{}
	var problems []error
	roles, lines := map[string]Role{}, map[[sha256.Size]byte]int{}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		before, _, _ := strings.Cut(" "+strings.TrimRight(line, "\r\n"), " #") // a token may hold a # itself
		fields := strings.Fields(before)
		if len(fields) == 0 {
			continue
		}
		parsed, plain, err := parseLine(fields)
		if err == nil {
			role, known := roles[parsed.who.Name]
			first, twice := lines[parsed.sum]
			switch {
			case twice:
				err = fmt.Errorf("its token is that of line %d", first)
			case known && role != parsed.who.Role:
				err = fmt.Errorf("%s has another role above", parsed.who.Name)
			case len(t.all) == mostTokens:
				return nil, tokensError(fmt.Errorf("%s:%d: more than %d tokens", path, n, mostTokens))
			}
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: %w", path, n, err))
			continue
		}
		parsed.line = n
		roles[parsed.who.Name], lines[parsed.sum] = parsed.who.Role, n
		t.all, t.plain = append(t.all, parsed), t.plain || plain
	}
	if len(problems) == 0 && len(t.all) == 0 {
		problems = append(problems, fmt.Errorf("%s: there is no token in it", path))
	}
	if len(problems) > 0 {
		return nil, tokensError(errors.Join(problems...))
	}
	return t, nil
}

func parseLine(fields []string) (t token, plain bool, err error) {
	if len(fields) != 3 {
		return t, false, fmt.Errorf("%d words, where there are three: name, role, token", len(fields))
	}
	name, role, secret := fields[0], fields[1], fields[2]
	if !ownerName.MatchString(name) {
		return t, false, errors.New("the name is not up to 64 of a-z A-Z 0-9 . _ @ -, beginning with a letter or a digit")
	}
	t.who.Name = name
	switch role {
	case "read":
		t.who.Role = Read
	case "operate":
		t.who.Role = Operate
	default:
		return t, false, errors.New("the role is neither read nor operate")
	}
	if sum, ok := strings.CutPrefix(secret, hashed); ok {
		raw, err := hex.DecodeString(sum)
		if err != nil || len(raw) != sha256.Size {
			return t, false, fmt.Errorf("what follows %s is not 64 hexadecimal digits", hashed)
		}
		copy(t.sum[:], raw)
	} else {
		switch {
		case len(secret) < leastToken:
			return t, false, fmt.Errorf("the token has %d bytes; one of less than %d could be guessed", len(secret), leastToken)
		case len(secret) > mostToken:
			return t, false, fmt.Errorf("the token has more than %d bytes", mostToken)
		case !utf8.ValidString(secret):
			return t, false, errors.New("the token is no text")
		}
		t.sum, plain = sha256.Sum256([]byte(secret)), true
	}
	id := sha256.Sum256(append([]byte("brimline token "), t.sum[:]...))
	t.who.ID = hex.EncodeToString(id[:8])
	return t, plain, nil
}

func tokensError(err error) error {
	return &brimline.Error{
		Class: brimline.ClassInput, Kind: "tokens_file", Where: "--tokens-file",
		Remedy: "write `name role token` on each line, with the role read or operate, and sha256: before the hash of a token",
		Err:    err,
	}
}
