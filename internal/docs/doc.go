// Package docs checks what is written beside the code: links lead somewhere, decisions have a date and a status, and
// their index is theirs. It holds tests only; `go test ./internal/docs -update` writes the index.
package docs
