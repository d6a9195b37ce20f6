package brimline

import "strings"

// JoinID writes a primary key of one or more columns as one text. A key of one
// column stays as it is; of more, the parts are joined by commas, with commas
// and backslashes inside a part escaped by a backslash, so that different keys
// of one table never join to the same text.
func JoinID(parts ...string) string {
	if len(parts) == 1 {
		return parts[0]
	}
	escaped := make([]string, len(parts))
	for i, p := range parts {
		escaped[i] = idEscapes.Replace(p)
	}
	return strings.Join(escaped, ",")
}

var idEscapes = strings.NewReplacer(`\`, `\\`, `,`, `\,`)
