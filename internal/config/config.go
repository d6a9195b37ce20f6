// Package config holds every setting of brimline in one place: what it is
// called, what it means, its default, and what it must agree with.
//
// A setting has one name. As a flag it is `--kafka-ca-file`, in the
// environment BRIMLINE_KAFKA_CA_FILE, in the YAML file `kafka_ca_file`. A flag
// wins over the environment, the environment over the file, the file over the
// default.
package config

import (
	"time"
)

// Config is everything that can be set. Its parts are separate types so that a
// command can take those that concern it, and no others.
//
// Lists have the type "list", which is no type of kong's: a list of no named
// type is shown in the help with `,...` behind its default.
type Config struct {
	Kafka     `group:"Kafka"`
	Names     `group:"Names"`
	Topics    `group:"Topics"`
	Watched   `group:"Watched table"`
	Records   `group:"Change records"`
	Feeding   `group:"Change records"`
	Judging   `group:"Rules and verification"`
	Database  `group:"PostgreSQL"`
	Replica   `group:"PostgreSQL"`
	State     `group:"State"`
	Running   `group:"Running"`
	Serving   `group:"Running"`
	Profiling `group:"Running"`
	Logging   `group:"Logs"`
}

// Kafka is how to reach the brokers.
type Kafka struct {
	// Brokers are bootstrap addresses, host:port; the cluster names the others.
	Brokers []string `type:"list" help:"Bootstrap brokers, host:port; several by commas." default:"127.0.0.1:9092" env:"BRIMLINE_BROKERS"`
	// KafkaTLS encrypts connections; the certificate is checked against the
	// system's authorities, or those of KafkaCAFile. Implied by the three files.
	KafkaTLS bool `name:"kafka-tls" help:"Connect to Kafka with TLS; implied by the files below." env:"BRIMLINE_KAFKA_TLS"`
	// KafkaCAFile holds the authorities to trust (PEM), in place of the system's.
	KafkaCAFile string `name:"kafka-ca-file" help:"Certificate authorities to trust (PEM) instead of the system's." env:"BRIMLINE_KAFKA_CA_FILE" placeholder:"FILE"`
	// KafkaCertFile and KafkaKeyFile are our certificate and its key (PEM), for
	// brokers that ask for one; both or neither.
	KafkaCertFile string `name:"kafka-cert-file" help:"Client certificate (PEM); goes with --kafka-key-file." env:"BRIMLINE_KAFKA_CERT_FILE" placeholder:"FILE"`
	KafkaKeyFile  string `name:"kafka-key-file" help:"Key of the client certificate (PEM)." env:"BRIMLINE_KAFKA_KEY_FILE" placeholder:"FILE"`
	// KafkaServerName is the name in the brokers' certificates, where it is not the address's.
	KafkaServerName string `name:"kafka-server-name" help:"Name to expect in the brokers' certificates." env:"BRIMLINE_KAFKA_SERVER_NAME" placeholder:"NAME"`
	// KafkaSASLMechanism is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512. Default:
	// none, or SCRAM-SHA-512 when a user is given.
	KafkaSASLMechanism string `name:"kafka-sasl-mechanism" help:"PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 (the default when a user is given)." env:"BRIMLINE_KAFKA_SASL_MECHANISM" placeholder:"NAME"`
	KafkaSASLUser      string `name:"kafka-sasl-user" help:"User for SASL." env:"BRIMLINE_KAFKA_SASL_USER" placeholder:"NAME"`
	// KafkaSASLPassword or KafkaSASLPasswordFile, not both. Prefer the file or
	// the environment: command lines are seen by every user of a machine.
	KafkaSASLPassword     Secret `name:"kafka-sasl-password" help:"Password for SASL; better in a file or in the environment." env:"BRIMLINE_KAFKA_SASL_PASSWORD" placeholder:"SECRET"`
	KafkaSASLPasswordFile string `name:"kafka-sasl-password-file" help:"File with the password for SASL." env:"BRIMLINE_KAFKA_SASL_PASSWORD_FILE" placeholder:"FILE"`
	// SessionTimeout is how long a silent instance keeps its partitions: after a
	// kill, others take over this much later. Brokers accept 6 s to 30 min by default.
	SessionTimeout time.Duration `help:"How long the partitions of a silent instance stay with it." default:"10s" env:"BRIMLINE_SESSION_TIMEOUT"`
}

// Names are the names of the group and its topics in Kafka.
type Names struct {
	GroupName
	SourceTopic
	AlertsTopic
}

// GroupName is the name of this brimline.
type GroupName struct {
	// Group starts the name of every consumer group, table and topic of ours. A
	// new name reprocesses everything from the beginning, the same name resumes.
	Group string `help:"Name of this brimline; a new name starts from the beginning, the same name resumes." default:"brimline" env:"BRIMLINE_GROUP"`
}

// SourceTopic is where changes come from.
type SourceTopic struct {
	// Source is the change stream, written by Debezium or `brimline capture`.
	Source string `help:"Topic of the change stream." default:"postgres.streaming.transactions" env:"BRIMLINE_SOURCE"`
}

// AlertsTopic is where alerts go.
type AlertsTopic struct {
	// Alerts is the topic of alerts; groups may share it only if they never run at the same rules.
	Alerts string `help:"Topic of alerts." default:"alerts" env:"BRIMLINE_ALERTS"`
}

// Topics are the settings of created topics; topics that exist are checked, never changed.
type Topics struct {
	// Partitions of our topics. 0 takes the number of the source topic.
	Partitions int `help:"Partitions of topics that are created; 0: as many as the source topic." default:"0" env:"BRIMLINE_PARTITIONS"`
	// Replication of our topics. 0: one copy per broker, at most three.
	Replication int `help:"Replication of topics that are created; 0: one per broker, at most three." default:"0" env:"BRIMLINE_REPLICATION"`
}

// Watched is the table and its columns.
type Watched struct {
	TableName
	// IDColumn is the primary key, in its order where it has several columns.
	IDColumn     []string `type:"list" name:"id-column" help:"Primary key; several columns by commas or by repeating." default:"id" env:"BRIMLINE_ID_COLUMN"`
	UserColumn   string   `help:"The account a row belongs to." default:"user_id" env:"BRIMLINE_USER_COLUMN"`
	AmountColumn string   `help:"The amount." default:"amount" env:"BRIMLINE_AMOUNT_COLUMN"`
	TimeColumn   string   `help:"The row's own time." default:"timestamp" env:"BRIMLINE_TIME_COLUMN"`
}

// TableName is the watched table.
type TableName struct {
	// Table is schema.name. What becomes of records of other tables in the source topic says OtherTables.
	Table string `help:"The watched table, schema.name." default:"streaming.transactions" env:"BRIMLINE_TABLE"`
}

// Records is how change records are written, where they do not say it themselves.
type Records struct {
	// Format is auto (look at each record), envelope (Debezium's before/after) or
	// flat (as ExtractNewRecordState leaves it).
	Format string `help:"auto, envelope, or flat (ExtractNewRecordState)." default:"auto" env:"BRIMLINE_FORMAT"`
	// TimeUnit reads times that come as bare numbers: ms, us or ns, believed whatever
	// they look like; auto takes the unit from the inline schema, from our own capture's
	// mark, or from what the catalog says of the column, and makes a dead letter of a
	// number whose unit none of them says, or that looks like a time in another unit.
	// Numbers of date columns are days in any case, where the catalog says that they are dates.
	TimeUnit string `help:"Unit of times that are bare numbers: ms, us or ns; auto: what the record or the catalog says, never a guess." default:"auto" env:"BRIMLINE_TIME_UNIT"`
	// Decimals tells precise decimals (base64) from string ones (digits) where the
	// records do not: auto refuses texts that could be either. numeric says that JSON
	// numbers are exact (decimal.format=NUMERIC in Kafka Connect's JsonConverter); without
	// it one with a fraction is refused, because a binary float looks the same.
	Decimals string `help:"How decimals without inline schema are written: auto, precise, string, or numeric (exact JSON numbers, decimal.format=NUMERIC)." default:"auto" env:"BRIMLINE_DECIMALS"`
	// AmountColumnScale is the column's number of decimals; needed for
	// decimal.handling.mode=precise without inline schemas, whose bytes do not
	// say it, where the catalog is not asked. Without either, such amounts are dead
	// letters. Refused where the catalog says otherwise. -1: not known.
	AmountColumnScale int `help:"Decimals of the amount column, for precise decimals without inline schema; -1: not known." default:"-1" env:"BRIMLINE_AMOUNT_COLUMN_SCALE"`
	// AmountMinorUnits is n where the amount column counts units of 10^-n in whole
	// numbers, 2 for a bigint of cents: 50000 is then 500.00, and limits in rules stay
	// 500.00. Only for columns of whole numbers. 0: it does not. -1 is read as 0, with a warning where the column is of
	// an integer type, which holds cents as often as whole units.
	AmountMinorUnits int `help:"n where the amount column counts 10^-n in whole numbers: 2 for cents; 0: whole units; -1: not said, read as 0." default:"-1" env:"BRIMLINE_AMOUNT_MINOR_UNITS"`
	// AllowFloatAmounts takes amounts that went through a float
	// (decimal.handling.mode=double). They are no longer exact; refused by default.
	AllowFloatAmounts bool `help:"Take amounts that went through a float and may no longer be exact." env:"BRIMLINE_ALLOW_FLOAT_AMOUNTS"`
	// OtherTables says what becomes of records of other tables in the source topic:
	// deadletter, or skip, which passes over them and counts them
	// (brimline_route_skipped_total). Flattened records that do not name their table
	// (add.fields=table,schema) cannot be told apart.
	OtherTables string `help:"Records of other tables in the source topic: deadletter or skip." default:"deadletter" env:"BRIMLINE_OTHER_TABLES"`
	// MaxRecordBytes is the largest change record that is taken; larger ones become dead letters. Of those only
	// the row's id and account are read, so that the row does not stay as it was before.
	MaxRecordBytes int `help:"Larger change records become dead letters." default:"1048576" env:"BRIMLINE_MAX_RECORD_BYTES"`
}

// Feeding names the program that feeds the source topic, for the checks. A named connector or slot is this stream's
// own: a fault of it ends a start. Other slots and publications of the database are only told about.
type Feeding struct {
	// Slot and Publication through which the change stream is read; taken from the connector where ConnectURL tells.
	Slot        string `help:"Replication slot that feeds the source topic; others are other people's." env:"BRIMLINE_SLOT" placeholder:"NAME"`
	Publication string `help:"Publication that feeds the source topic." env:"BRIMLINE_PUBLICATION" placeholder:"NAME"`
	// ConnectURL is Kafka Connect's REST interface; a password in it is never shown.
	ConnectURL Secret `name:"connect-url" help:"REST interface of Kafka Connect, http://connect:8083, to ask how the connector is set." env:"BRIMLINE_CONNECT_URL" placeholder:"URL"`
}

// Judging decides which rules raise alerts, and who confirms them.
type Judging struct {
	// Rules is the rules file; see `brimline rules check`.
	Rules string `help:"Rules file." default:"rules.yaml" env:"BRIMLINE_RULES"`
	// Verify is on (ask PostgreSQL before an alert leaves), replica (the same,
	// after waiting until the replica has replayed the row) or off (alerts carry
	// the stream's figures and the status unverified; no database needed).
	Verify string `help:"on, replica (wait until it has replayed the row), or off." default:"on" env:"BRIMLINE_VERIFY"`
	// DistrustAfter is how long PostgreSQL must go on dismissing an edge, because it has less than the stream, until the
	// user's rows are no longer believed, and PostgreSQL answers in their place. It is asked again six times within it,
	// and only once the group has caught up. 0: never.
	DistrustAfter time.Duration `help:"How long PostgreSQL must go on dismissing an edge of a user until the stream's rows of that user are no longer believed; 0: never." default:"1m" env:"BRIMLINE_DISTRUST_AFTER"`
	// AsOf is none, or now: alerts also carry the total of the last window up to the time of asking.
	AsOf string `help:"now: alerts also carry the total up to now; none." default:"none" env:"BRIMLINE_AS_OF"`
	// AlertsFrom is the time from which a new group alerts, in ISO 8601 with an offset, or now, which is the moment at
	// which it begins. Edges before it are decided and remembered all the same, and are written to the dismissed topic
	// in place of alerts. Settled by the group's first instance, once and for all. Default: all edges are alerts.
	AlertsFrom string `name:"alerts-from" help:"Only of a new group: edges before this time are decided, and dismissed in place of alerted; ISO 8601 with an offset, or now." env:"BRIMLINE_ALERTS_FROM" placeholder:"TIME"`
}

// Database is how to reach PostgreSQL. PGPASSWORD, PGSSLROOTCERT, ~/.pgpass and
// the other ways of libpq fill in what the URL leaves out. A URL that could be
// read in two ways is refused (package urls).
type Database struct {
	// DatabaseURL or DatabaseURLFile, not both. Needed unless verification is off.
	DatabaseURL     Secret `name:"database-url" help:"postgres://user@host:port/database; PGPASSWORD and ~/.pgpass are honoured." env:"BRIMLINE_DATABASE_URL" placeholder:"URL"`
	DatabaseURLFile string `name:"database-url-file" help:"File with the database URL." env:"BRIMLINE_DATABASE_URL_FILE" placeholder:"FILE"`
}

// Replica is where much is read at once, to spare the primary.
type Replica struct {
	// ReplicaURL or ReplicaURLFile, not both. The comparisons of prove and audit read there, in place of DatabaseURL.
	ReplicaURL     Secret `name:"replica-url" help:"A replica that prove and audit read, in place of --database-url." env:"BRIMLINE_REPLICA_URL" placeholder:"URL"`
	ReplicaURLFile string `name:"replica-url-file" help:"File with the URL of the replica." env:"BRIMLINE_REPLICA_URL_FILE" placeholder:"FILE"`
}

// State is the data that an instance keeps on its own disk. All of it can be lost: it
// is read again from Kafka.
type State struct {
	StateDir string `help:"Directory for local state." default:".brimline/state" env:"BRIMLINE_STATE_DIR"`
	// Instance names this process among those of the group, in the id of its
	// transactions and in member lists. Two that run at once must differ; the
	// same one should come back after a restart. Default: the host's name and a
	// mark kept in the state directory, one for each process that runs there.
	Instance string `help:"Name of this instance; default: host name and a mark kept in the state directory." env:"BRIMLINE_INSTANCE" placeholder:"NAME"`
}

// Running is how `run` behaves.
type Running struct {
	// Stages that this process runs; the others must run elsewhere.
	Stages []string `type:"list" help:"Stages to run here, by commas: ${stages}." default:"route,window,verify,index" env:"BRIMLINE_STAGES"`
	// HotStandby keeps copies of the tables of other instances' partitions, for a
	// quick takeover at the price of disk and network.
	HotStandby bool `help:"Keep copies of other instances' tables, to take over quickly." env:"BRIMLINE_HOT_STANDBY"`
	// StopTimeout bounds a stop: what was begun is finished within it, or left to the next start.
	StopTimeout time.Duration `help:"How long a stop may take; what is not finished by then is left to the next start." default:"15s" env:"BRIMLINE_STOP_TIMEOUT"`
	// SweepEvery is how often users whose rows have all aged out are looked for. 0: never.
	SweepEvery time.Duration `help:"How often aged-out users are removed from the table; 0: never." default:"10m" env:"BRIMLINE_SWEEP_EVERY"`
	// KeepEdges is how long announced edges are remembered beyond the rows. A
	// replay of input older than this can announce an edge again.
	KeepEdges time.Duration `help:"How long it is remembered which edges were announced." default:"90d" env:"BRIMLINE_KEEP_EDGES"`
	// AlertsPerUser is how many of a user's newest alerts the index keeps.
	AlertsPerUser int `help:"Alerts of one user that the index keeps." default:"100" env:"BRIMLINE_ALERTS_PER_USER"`
	// Memory is the limit that this process keeps to. Caches take their shares of it, and the garbage collector
	// works as hard as it takes to stay below. GOMEMLIMIT and GOGC, where set, say otherwise to the collector.
	Memory Bytes `help:"Memory to stay within; more of it makes a catch-up faster." default:"256MiB" env:"BRIMLINE_MEMORY"`
	// CatalogEvery is how often PostgreSQL's catalog is looked at: a watched column of another type stops stage route.
	// 0: never.
	CatalogEvery time.Duration `help:"How often to see that the watched columns are what they were; 0: never." default:"1m" env:"BRIMLINE_CATALOG_EVERY"`
	// ProveEvery is how often one instance of the group, that which verifies partition 0, compares the alerts with the
	// table, by PostgreSQL (`brimline prove`). 0: never. It needs a database, and may be set alike for all instances.
	ProveEvery time.Duration `help:"How often one instance of the group compares the alerts with the table, as prove does; 0: never." default:"0s" env:"BRIMLINE_PROVE_EVERY"`
	// ProveSince is how far back it looks.
	ProveSince time.Duration `help:"How far back it looks then." default:"1d" env:"BRIMLINE_PROVE_SINCE"`
	// AuditEvery is how often that instance compares the rows of all users' windows with the table (`brimline audit`).
	// 0: never.
	AuditEvery time.Duration `help:"How often one instance of the group compares the windows' rows with the table, as audit does; 0: never." default:"0s" env:"BRIMLINE_AUDIT_EVERY"`
	// UntilCaughtUp stops, with success, once everything in the source topic has gone through all stages.
	UntilCaughtUp bool `help:"Stop once everything in the source topic has gone through all stages." env:"BRIMLINE_UNTIL_CAUGHT_UP"`
}

// Serving is the HTTP API with health, metrics and the page.
type Serving struct {
	Listening
	// AllowedHosts are the names under which it answers, beside localhost and IP addresses: exact, or *.example.com for
	// every name below one. Others are refused, because a web page can point a name of its own at this address.
	AllowedHosts []string `type:"list" help:"Names, besides localhost and IP addresses, under which API and page answer: exact, or *.example.com; several by commas." env:"BRIMLINE_ALLOWED_HOSTS" placeholder:"NAME"`
	// TLSKey is the key of TLSCert (PEM), without a password; both or neither.
	TLSKey string `name:"tls-key" help:"Key of --tls-cert (PEM)." env:"BRIMLINE_TLS_KEY" placeholder:"FILE"`
	// TokensFile says who may ask, on each line a name, read or operate, and a token or sha256: with its hash. It is
	// looked at again every second. Without it only this machine may ask, and nothing can be changed.
	TokensFile string `help:"Who may ask, a line each: name, read or operate, and a token or sha256:HASH. Read again when it changes." env:"BRIMLINE_TOKENS_FILE" placeholder:"FILE"`
	// AllowAnonymous lets everybody read who can reach Listen, without a token. To change something takes one all the
	// same.
	AllowAnonymous bool `help:"Let everybody who reaches --listen read without a token." env:"BRIMLINE_ALLOW_ANONYMOUS"`
	// LogRequests logs who asked for which address with what result. Ids, parameters and tokens are left out.
	LogRequests bool `help:"Log each request, without ids and parameters." env:"BRIMLINE_LOG_REQUESTS"`
}

// Listening is where HTTP answers, as far as who asks must know it, too.
type Listening struct {
	// Listen is host:port, or off. Beyond loopback a start needs TokensFile, or AllowAnonymous.
	Listen string `help:"Address of API, page, metrics and health; off: none." default:"127.0.0.1:8480" env:"BRIMLINE_LISTEN"`
	// MetricsListen is host:port for /metrics, /healthz and /readyz, which then answer there alone, without a token and
	// without TLS. Default: with the API.
	MetricsListen string `help:"Address of metrics and health apart from the API, without tokens and TLS; default: with the API." env:"BRIMLINE_METRICS_LISTEN" placeholder:"HOST:PORT"`
	// BasePath goes before all addresses of Listen: /brimline behind a proxy that serves other things as well.
	BasePath string `help:"Path before all addresses of --listen, such as /brimline." env:"BRIMLINE_BASE_PATH" placeholder:"PATH"`
	// TLSCert is the certificate of Listen with the chain below it (PEM). It is looked at again every second. Without it
	// there is no TLS.
	TLSCert string `name:"tls-cert" help:"Certificate of --listen with its chain (PEM), for TLS; read again when it changes." env:"BRIMLINE_TLS_CERT" placeholder:"FILE"`
}

// Asking is how an instance is asked.
type Asking struct {
	Listening
	// APIToken or APITokenFile, not both, where the instance wants one.
	APIToken     Secret `name:"api-token" help:"Token to ask an instance with; better in a file or in the environment." env:"BRIMLINE_API_TOKEN" placeholder:"SECRET"`
	APITokenFile string `name:"api-token-file" help:"File with that token." env:"BRIMLINE_API_TOKEN_FILE" placeholder:"FILE"`
}

// Profiling is where this process can be looked into while it runs.
type Profiling struct {
	// Pprof is host:port on loopback, or off. A profile slows the process down and says how it is built, so that no
	// other machine may ask for one.
	Pprof string `help:"Address for profiles by go tool pprof, on loopback only; off: none." default:"off" env:"BRIMLINE_PPROF"`
}

// Logging is how logs are written, always to standard error.
type Logging struct {
	LogFormat string `help:"text or json." default:"text" env:"BRIMLINE_LOG_FORMAT"`
	LogLevel  string `help:"debug, info, warn or error; debug shows user ids." default:"info" env:"BRIMLINE_LOG_LEVEL"`
}
