// Package debezium reads the change events of a watched table: JSON in every shape that Debezium's PostgreSQL connector
// and Kafka Connect's JsonConverter write, with inline schema or without, in envelopes or flattened, and what
// `brimline capture` writes.
//
// [Decoder] turns a record into changes, passes it over, or refuses it with an error that names kind and remedy. It
// refuses a record whose values could mean several things. [Options] name the table and its columns, with the facts of
// the catalog and the settings. [Reads] says which types of columns can be read at all.
//
// # Files, in the order in which a record meets them
//
//   - options.go: the settings and their words: formats, units of time, encodings of decimals.
//   - decoder.go: the decoder, and its answer to a record.
//   - scan.go, scan_text.go: a scanner of JSON that allocates nothing and bounds the depth.
//   - record.go: envelopes and flattened rows.
//   - shape.go: records that are neither: heartbeats, metadata, other programs' formats.
//   - schema.go: inline schemas.
//   - before.go: a row's earlier contents, and whether an image of them can be believed.
//   - row.go: a row's id, user, amount, time and further columns.
//   - value.go, decimal.go: amounts and decimals, exact.
//   - time.go: times, in every unit and form.
//   - types.go, facts.go: how PostgreSQL's types come in the stream, and the catalog's facts of a column.
//   - errors.go: the kinds of bad input.
//
// testdata/debezium has recordings of real connectors, which the tests take for the truth.
package debezium
