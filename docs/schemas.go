// Package docs holds the schemas of files that people write, for `brimline rules init`, and of alerts, for the API.
package docs

import _ "embed"

// RulesSchema is the JSON Schema of a rules file.
//
//go:embed rules.schema.json
var RulesSchema []byte

// RulesTestSchema is the JSON Schema of a file of tests; it refers to rules.schema.json beside it.
//
//go:embed rules-test.schema.json
var RulesTestSchema []byte

// AlertSchema is the JSON Schema of a record of the alerts topic.
//
//go:embed alert.schema.json
var AlertSchema []byte
