package preflight

import "strings"

// Source is where a check has its knowledge from.
type Source string

// The sources.
const (
	FromFiles   Source = "files"   // settings and the rules file
	FromKafka   Source = "kafka"   // the cluster's topics
	FromRecords Source = "records" // the newest records of the source topic
	FromCatalog Source = "catalog" // PostgreSQL
	FromConnect Source = "connect" // Kafka Connect's REST interface
	FromGroup   Source = "group"   // what the group has written down
	// FromInstance is the instance at --listen: `brimline doctor` asks it, a run does not.
	FromInstance Source = "instance"
)

// Check is one kind of finding. What is found always has the check's level.
type Check struct {
	// ID is snake_case and stable; it begins with that of its subject.
	ID     string
	Source Source
	// Level is its severity: `brimline run` stops at an Error, logs a Warning, and logs a Note at debug.
	Level Level
	Finds string // what was found, in general
	// Remedy says what to do, in general; a finding names the objects.
	Remedy string
}

// Checks are all of them: `brimline doctor` and `brimline run` make the same ones, as far as their source can be
// asked. A run asks no instance.
func Checks() []Check { return checks }

// Subjects are the subjects of checks; a finding that all is well has one of them for its check.
var subjects = map[string]Source{
	"rules": FromFiles, "settings": FromFiles, "group": FromGroup, "instance": FromInstance,
	"kafka_connection": FromKafka, "kafka_brokers": FromKafka, "kafka_source": FromKafka, "kafka_topics": FromKafka,
	"kafka_alerts": FromKafka,
	"records":      FromRecords, "record_encoding": FromRecords, "units": FromRecords,
	"connect": FromConnect, "connect_state": FromConnect, "connect_settings": FromConnect,
	"postgres_connection": FromCatalog, "postgres_version": FromCatalog, "postgres_clock": FromCatalog,
	"postgres_table":  FromCatalog,
	"postgres_select": FromCatalog, "postgres_row_security": FromCatalog, "postgres_columns": FromCatalog,
	"postgres_primary_key": FromCatalog, "postgres_replica_identity": FromCatalog, "postgres_index": FromCatalog,
	"postgres_wal_level": FromCatalog, "postgres_replication": FromCatalog, "postgres_publication": FromCatalog,
	"postgres_slot": FromCatalog,
}

var checks = []Check{
	{"rules_file", FromFiles, Error, "the rules file cannot be used", "see `brimline rules check`"},
	{"settings_wrong", FromFiles, Error, "settings contradict each other, or what the catalog says of the columns",
		"correct the setting"},
	{"settings_without_effect", FromFiles, Error, "a setting says how to read something that is never read",
		"take the setting out"},
	{"settings_cents", FromCatalog, Warning, "the amount column holds whole numbers, and nothing says of what",
		"set --amount-minor-units=2 if it holds cents, else 0"},

	{"group_settings", FromGroup, Error, "the group began with other settings, or with columns of another kind",
		"start a new --group, or go back to the settings it began with"},
	{"group_table_replaced", FromGroup, Warning, "the table is not the one that the group began with",
		"start a new --group over a new snapshot, if its rows are others"},
	{"group_record", FromGroup, Error, "what the group has written down cannot be read",
		"use the version of brimline that wrote it, or start a new --group"},
	{"group_columns_changed", FromGroup, Note, "columns have other defaults, or may be NULL where they could not",
		"nothing need be done"},

	{"instance_silent", FromInstance, Note, "no instance of the group says whether users are distrusted",
		"name one that runs stage window with --listen, or off"},
	{"instance_distrusted_users", FromInstance, Note,
		"users are distrusted: PostgreSQL answers for them, and their totals are not shown",
		"nothing need be done for the alerts; the log names examples of what the stream has lost"},
	{"instance_distrusts_wait", FromInstance, Warning,
		"PostgreSQL has less than the stream for more users than may be distrusted",
		"look for their one cause: deletes not published, a row filter, row-level security, a wrong unit, a lost slot"},

	{"kafka_connection_failed", FromKafka, Error, "no broker can be used", "check --brokers, TLS and login"},
	{"kafka_connection_plain", FromKafka, Warning, "a password goes over connections that are not encrypted",
		"set --kafka-tls"},
	{"kafka_brokers_unknown", FromKafka, Error, "the brokers do not say how many they are", "see the brokers' log"},
	{"kafka_brokers_few", FromKafka, Error,
		"topics are to be created, and there are fewer brokers than --replication asks for",
		"start more brokers, or lower --replication"},
	{"kafka_brokers_down", FromKafka, Warning, "fewer brokers are up than --replication asks for",
		"see which broker is down"},
	{"kafka_brokers_one", FromKafka, Note, "there is one broker", "use three brokers in production"},
	{"kafka_source_missing", FromKafka, Error, "there is no source topic", "name it with --source"},
	{"kafka_source_unknown", FromKafka, Error, "the source topic cannot be looked at", "see the error"},
	{"kafka_source_offline", FromKafka, Warning, "partitions of the source topic have no leader: they wait",
		"bring the brokers back that hold them"},
	{"kafka_source_lagging", FromKafka, Warning, "copies of the source topic lag behind",
		"see which broker is down or slow"},
	{"kafka_source_cut", FromKafka, Note, "the source topic has lost its first records to retention",
		"keep this group to keep its history"},
	{"kafka_source_compacted", FromKafka, Warning, "the source topic is compacted", "set cleanup.policy=delete on it"},
	{"kafka_source_short", FromKafka, Warning, "the source topic keeps less than the rules look back",
		"set retention.ms=-1 on it"},
	{"kafka_source_retention", FromKafka, Note, "the source topic does not keep its records for ever",
		"set retention.ms=-1 on it where a new --group must see everything"},
	{"kafka_topics_unknown", FromKafka, Error, "a topic of ours cannot be looked at", "see the error"},
	{"kafka_topics_offline", FromKafka, Warning, "partitions of a topic of ours have no leader: they wait",
		"bring the brokers back that hold them"},
	{"kafka_topics_lagging", FromKafka, Warning, "copies of a topic of ours lag behind",
		"see which broker is down or slow"},
	{"kafka_topics_partitions", FromKafka, Error, "topics that are read together have different numbers of partitions",
		"start a new --group, or `brimline reset` this one"},
	{"kafka_topics_again", FromKafka, Warning, "many edges that PostgreSQL dismissed wait to be asked about again",
		"find what loses changes: deletes that are not published, a row filter, row-level security, a unit, a lost slot"},
	{"kafka_topics_missing", FromKafka, Note, "topics of ours are not there yet",
		"start `brimline run`, which creates them"},
	{"kafka_topics_unreadable", FromKafka, Note, "the settings of a topic of ours may not be read",
		"allow this user to describe topic configurations"},
	{"kafka_topics_policy", FromKafka, Error, "a topic of ours has the cleanup policy of another kind of topic",
		"set cleanup.policy on it"},
	{"kafka_alerts_shared", FromKafka, Warning,
		"the topic of alerts is that of other groups, or holds alerts of other tables",
		"give each group a topic of its own with --alerts"},
	{"kafka_topics_retention", FromKafka, Note, "the alerts topic does not keep alerts for ever",
		"set retention.ms=-1 on it"},
	{"kafka_topics_replication", FromKafka, Warning, "a topic of ours has fewer copies than there are brokers for",
		"raise its replication"},
	{"kafka_topics_isr", FromKafka, Error, "a topic of ours asks for more copies in sync than it has",
		"lower min.insync.replicas"},
	{"kafka_topics_acks", FromKafka, Warning, "one copy of several is enough for a topic of ours",
		"set min.insync.replicas=2"},

	{"records_none", FromRecords, Note, "the source topic has no records to look at yet", "write a row, and look again"},
	{"records_registry", FromRecords, Error, "records are of a schema registry's format (Avro, Protobuf)",
		"set key.converter and value.converter to JsonConverter"},
	{"records_some_registry", FromRecords, Warning, "some of the newest records are of a schema registry's format",
		"find out who writes them"},
	{"records_unreadable", FromRecords, Error, "no record can be read, or none in a way that is right", "see the finding"},
	{"records_some_unreadable", FromRecords, Warning, "some of the newest records would become dead letters",
		"see the finding"},
	{"record_encoding_schemas", FromRecords, Note, "every record carries its schema",
		"set key.converter.schemas.enable=false and value.converter.schemas.enable=false"},
	{"record_encoding_flat", FromRecords, Note, "records are flattened: they do not say what a row was before",
		"leave out the transform ExtractNewRecordState where rows move between users"},
	{"units_unknown", FromRecords, Error, "nothing says in which unit a time is, or how a decimal is written",
		"set --time-unit or --decimals, or let brimline ask PostgreSQL"},
	{"units_contradict", FromRecords, Error, "settings, connector, catalog or records contradict each other about a unit",
		"correct the setting, or start a new --group over a new snapshot"},

	{"connect_url", FromConnect, Error, "the URL of Kafka Connect cannot be read", "correct --connect-url"},
	{"connect_unreachable", FromConnect, Warning, "Kafka Connect does not answer: how the connector is set is not known",
		"check --connect-url, and that Kafka Connect runs"},
	{"connect_none", FromConnect, Warning, "no connector watches the table", "register one"},
	{"connect_other", FromConnect, Note, "another connector watches the table, for another topic", "nothing need be done"},
	{"connect_several", FromConnect, Warning, "several connectors may write the source topic",
		"give each its own topic.prefix"},
	{"connect_state_down", FromConnect, Warning, "the connector or its task does not run: nothing new comes",
		"mend the cause, and restart it"},
	{"connect_settings_floats", FromConnect, Error, "amounts come as binary floats", "set decimal.handling.mode=string"},
	{"connect_settings_cut", FromConnect, Error, "times come in milliseconds, and the column is finer",
		"set time.precision.mode to another mode than connect"},
	{"connect_settings_structured", FromConnect, Error, "times come as objects", "set time.precision.mode=adaptive"},
	{"connect_settings_poll", FromConnect, Note, "the connector looks for changes rarely", "set poll.interval.ms=10"},
	{"connect_settings_truncate", FromConnect, Note, "the connector leaves out TRUNCATE", "set skipped.operations=none"},
	{"connect_settings_operations", FromConnect, Error, "the connector leaves out operations",
		"set skipped.operations=none"},
	{"connect_settings_converter", FromConnect, Error, "the connector does not write JSON",
		"set value.converter to JsonConverter"},
	{"connect_settings_key", FromConnect, Note,
		"keys are not JSON: what only the key says, which row a bare tombstone or a dead letter is about, is not read",
		"set key.converter to JsonConverter"},
	{"connect_settings_snapshot", FromConnect, Note, "the connector takes no snapshot",
		"set snapshot.mode=initial before the first start"},
	{"connect_settings_columns", FromConnect, Error, "the connector leaves out or masks a column that is needed",
		"take it out of column.exclude.list and column.mask"},
	{"connect_settings_shortened", FromConnect, Warning, "the connector cuts long texts of a column that is needed",
		"see that none is longer, or take it out of column.truncate"},
	{"connect_settings_errors", FromConnect, Warning, "the connector passes over changes that it cannot write",
		"set errors.tolerance=none and event.processing.failure.handling.mode=fail"},
	{"connect_settings_part", FromConnect, Warning, "the connector's snapshot leaves rows out",
		"take snapshot.select.statement.overrides out"},
	{"connect_settings_custom", FromConnect, Warning,
		"a converter of the connector's own may write columns in another form", "take it out of converters"},
	{"connect_settings_placeholder", FromConnect, Error, "the connector writes a text of its own for values it does " +
		"not have",
		"take unavailable.value.placeholder out"},
	{"connect_settings_null", FromConnect, Error, "a NULL that a rule asks about arrives as the column's default",
		"set value.converter.replace.null.with.default=false"},
	{"connect_settings_null_read", FromConnect, Warning, "NULL arrives as the column's default",
		"set value.converter.replace.null.with.default=false"},
	{"connect_settings_transform", FromConnect, Warning, "a transform changes or leaves out what brimline reads",
		"take the transform out"},

	{"postgres_connection_none", FromCatalog, Error, "no database URL is given", "set --database-url, or --verify=off"},
	{"postgres_connection_off", FromCatalog, Note, "PostgreSQL was not looked at", "set --database-url"},
	{"postgres_connection_url", FromCatalog, Error, "the database URL cannot be read", "correct it"},
	{"postgres_connection_failed", FromCatalog, Error, "PostgreSQL cannot be reached", "check that it runs"},
	{"postgres_connection_login", FromCatalog, Error, "PostgreSQL refuses the login", "check user and password"},
	{"postgres_connection_database", FromCatalog, Error, "there is no such database", "name an existing one"},
	{"postgres_connection_full", FromCatalog, Error, "PostgreSQL has no connection free", "raise max_connections"},
	{"postgres_connection_tls", FromCatalog, Error, "client and server do not agree on TLS",
		"set sslmode and sslrootcert"},
	{"postgres_connection_catalog", FromCatalog, Error, "PostgreSQL did not answer a check", "see PostgreSQL's log"},
	{"postgres_connection_away", FromCatalog, Warning,
		"PostgreSQL cannot be asked, and only its catalog was to be", "see the finding"},
	{"postgres_connection_unseen", FromCatalog, Note, "the login may not look at a part of the catalog",
		"nothing need be done, or grant pg_monitor"},
	{"postgres_version_old", FromCatalog, Warning, "PostgreSQL is older than 13", "use PostgreSQL 13 or later"},
	{"postgres_version_replica", FromCatalog, Note, "the server is a replica", "run doctor against the primary as well"},
	{"postgres_clock_skew", FromCatalog, Warning, "the clocks of the database and of this machine differ",
		"synchronise both clocks (NTP)"},
	{"postgres_table_missing", FromCatalog, Error, "there is no such table", "name it with --table"},
	{"postgres_table_kind", FromCatalog, Error, "what is watched is a view or a foreign table",
		"name the table beneath it"},
	{"postgres_table_foreign", FromCatalog, Error, "partitions of the table are foreign tables",
		"detach them: their changes are in no stream of this server"},
	{"postgres_select_denied", FromCatalog, Error, "the login may not read the table", "GRANT SELECT"},
	{"postgres_row_security_applies", FromCatalog, Error, "row-level security hides rows from the login",
		"ALTER ROLE … BYPASSRLS"},
	{"postgres_columns_missing", FromCatalog, Error, "a column is not there", "correct the setting"},
	{"postgres_columns_type", FromCatalog, Error, "a column is of a type that cannot be read", "name another column"},
	{"postgres_columns_generated", FromCatalog, Error, "a generated column is not in the change stream",
		"name the column that it is made from"},
	{"postgres_columns_scale", FromCatalog, Warning, "the amount column has more decimals than amounts are kept with",
		"raise scale in the rules file, and start a new --group"},
	{"postgres_columns_any_scale", FromCatalog, Note, "the amount column takes any number of decimals", "constrain it"},
	{"postgres_columns_null", FromCatalog, Warning, "user, amount or time may be NULL", "SET NOT NULL"},
	{"postgres_columns_zone", FromCatalog, Note, "the time column has no time zone", "use timestamptz"},
	{"postgres_columns_default", FromCatalog, Warning,
		"a column may be NULL and has a default, which Kafka Connect may write in place of NULL",
		"set value.converter.replace.null.with.default=false, and --connect-url so that it can be checked"},
	{"postgres_primary_key_none", FromCatalog, Error, "the table has no primary key", "ADD PRIMARY KEY"},
	{"postgres_primary_key_other", FromCatalog, Error, "the primary key is another", "set --id-column"},
	{"postgres_primary_key_deferrable", FromCatalog, Warning,
		"the primary key is deferrable: within a transaction two rows may have one id", "make it NOT DEFERRABLE"},
	{"postgres_replica_identity_nothing", FromCatalog, Warning, "the replica identity is NOTHING",
		"REPLICA IDENTITY FULL"},
	{"postgres_replica_identity_key", FromCatalog, Warning, "the replica identity is not FULL", "REPLICA IDENTITY FULL"},
	{"postgres_index_none", FromCatalog, Warning, "no index serves the lookups", "CREATE INDEX"},
	{"postgres_wal_level_low", FromCatalog, Warning, "wal_level is not logical", "ALTER SYSTEM SET wal_level = 'logical'"},
	{"postgres_wal_level_capture", FromCatalog, Error, "wal_level is not logical, and our own capture needs it",
		"ALTER SYSTEM SET wal_level = 'logical'"},
	{"postgres_replication_right", FromCatalog, Error, "the login of our own capture may not read the change stream",
		"ALTER ROLE … REPLICATION"},
	{"postgres_replication_limits", FromCatalog, Warning, "slots or senders are all in use", "raise the limit"},
	{"postgres_replication_disk", FromCatalog, Note, "nothing bounds the log that a slot holds back",
		"set max_slot_wal_keep_size"},
	{"postgres_publication_none", FromCatalog, Note, "no publication has the table yet", "CREATE PUBLICATION"},
	{"postgres_publication_gone", FromCatalog, Warning,
		"no publication has the table, and its change stream has records: new rows do not come",
		"find out whether the table was replaced; ALTER PUBLICATION … ADD TABLE"},
	{"postgres_publication_partial", FromCatalog, Error, "our publication leaves out operations or rows",
		"ALTER PUBLICATION … SET"},
	{"postgres_publication_maybe_partial", FromCatalog, Warning,
		"a publication of the table leaves out operations or rows",
		"ALTER PUBLICATION … SET, if it is the one that feeds the source topic; name ours with --publication"},
	{"postgres_publication_columns", FromCatalog, Error, "our publication leaves out a column that is needed",
		"ALTER PUBLICATION … SET TABLE"},
	{"postgres_publication_maybe_columns", FromCatalog, Warning, "a publication leaves out a column that is needed",
		"ALTER PUBLICATION … SET TABLE, if it is the one that feeds the source topic; name ours with --publication"},
	{"postgres_publication_partitions", FromCatalog, Warning, "a publication names the partitions instead of the table",
		"publish_via_partition_root = true"},
	{"postgres_slot_none", FromCatalog, Note, "nothing reads the database's change stream",
		"start the connector or capture"},
	{"postgres_slot_missing", FromCatalog, Warning, "our slot is not there", "start the connector, or correct --slot"},
	{"postgres_slot_lost", FromCatalog, Error, "our slot is lost: changes are missing from the stream",
		"drop it, and start over with a new snapshot and a new --group"},
	{"postgres_slot_maybe_lost", FromCatalog, Warning, "a slot is lost, which may be the one that feeds the source topic",
		"name ours with --slot"},
	{"postgres_slot_unread", FromCatalog, Warning, "our slot is not being read", "start its reader"},
	{"postgres_slot_behind", FromCatalog, Warning, "our slot is far behind", "see what slows its reader down"},
	{"postgres_slot_maybe_unread", FromCatalog, Note, "a slot is not being read, or far behind",
		"if it is the one that feeds the source topic, start its reader; name ours with --slot"},
}

var byID = func() map[string]*Check {
	m := make(map[string]*Check, len(checks))
	for i := range checks {
		m[checks[i].ID] = &checks[i]
	}
	return m
}()

// subject is the longest one that a check's ID begins with.
func subject(id string) string {
	for s := id; s != ""; s, _ = cutLast(s) {
		if _, ok := subjects[s]; ok {
			return s
		}
	}
	return id
}

func cutLast(s string) (before, after string) {
	i := strings.LastIndexByte(s, '_')
	if i < 0 {
		return "", s
	}
	return s[:i], s[i+1:]
}
