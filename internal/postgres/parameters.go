package postgres

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// parameters are those that the driver understands, and settings of the server that
// a login may well bring along.
var parameters = strings.Fields(`
	host port database user password passfile connect_timeout service servicefile target_session_attrs
	sslmode sslkey sslcert sslcertmode sslrootcert sslnegotiation sslpassword sslsni channel_binding
	require_auth krbspn krbsrvname min_protocol_version max_protocol_version default_query_exec_mode
	statement_cache_capacity description_cache_capacity pool_max_conns pool_max_conn_lifetime
	pool_max_conn_lifetime_jitter pool_max_conn_idle_time pool_health_check_period pool_ping_timeout options
	application_name client_encoding timezone datestyle intervalstyle extra_float_digits bytea_output
	search_path role row_security statement_timeout lock_timeout idle_in_transaction_session_timeout
	idle_session_timeout transaction_timeout default_transaction_read_only default_transaction_isolation
	default_transaction_deferrable tcp_keepalives_idle tcp_keepalives_interval tcp_keepalives_count
	tcp_user_timeout client_connection_check_interval work_mem temp_buffers jit plan_cache_mode
	max_parallel_workers_per_gather client_min_messages`)

// custom is the name of a setting with a point, as extensions have them: the server takes any.
var custom = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*\.[a-zA-Z_][a-zA-Z0-9_]*$`)

func isParameter(name string) bool {
	return slices.Contains(parameters, strings.ToLower(name)) || custom.MatchString(name)
}

func isDuration(s string) bool {
	d, err := time.ParseDuration(s)
	return err == nil && d >= 0
}

// foreign are the parameters of other clients' URLs, which the server would
// refuse with "unrecognized configuration parameter".
var foreign = []struct{ names, what, remedy string }{
	{
		"schema",
		"is Prisma's",
		"take it out, and name the schema in --table schema.name",
	},
	{
		"currentSchema",
		"is JDBC's",
		"take it out, and name the schema in --table schema.name",
	},
	{
		"pgbouncer",
		"is Prisma's",
		"write default_query_exec_mode=cache_describe in its place, which works behind PgBouncer",
	},
	{
		"prepareThreshold preferQueryMode prepared_statements prepared_statement_cache_size " +
			"statement_cache_size binary_parameters",
		"is another client's",
		"write default_query_exec_mode=cache_describe in its place, which works behind PgBouncer",
	},
	{
		"connection_limit pool pool_size max_overflow pool_recycle pool_pre_ping checkout_timeout " +
			"reaping_frequency idle_timeout max_conns min_conns conn_max_age conn_health_checks maximumPoolSize " +
			"minimumIdle pool_min_conns pool_min_idle_conns max_connections",
		"is about a pool of connections",
		"take it out: brimline opens at most 8 connections, or pool_max_conns",
	},
	{
		"timeout loginTimeout pool_timeout connectTimeout socketTimeout socket_timeout command_timeout",
		"is another client's",
		"write connect_timeout in its place, in seconds",
	},
	{
		"charset encoding unicode",
		"is another client's",
		"take it out: brimline asks for UTF-8 by itself",
	},
	{
		"sslaccept sslidentity sslfactory sslhostnameverifier sslfactoryarg ssl_mode useSSL requireSSL ssl_ca " +
			"tls",
		"is another client's",
		"write sslmode=verify-full, or sslmode=require, in its place",
	},
	{
		"targetServerType read_only readOnly",
		"is another client's",
		"write target_session_attrs in its place",
	},
	{
		"load_balance_hosts loadBalanceHosts hostRecheckSeconds",
		"is another client's",
		"take it out: hosts are tried in their order",
	},
	{
		"hostaddr",
		"is libpq's, and the driver has no such thing",
		"give the address as the host",
	},
	{
		"gssencmode gsslib gssdelegation keepalives keepalives_idle keepalives_interval keepalives_count " +
			"requirepeer sslcompression sslcrl sslcrldir ssl_min_protocol_version ssl_max_protocol_version " +
			"sslkeylogfile",
		"is libpq's, and the driver has no such thing",
		"take it out",
	},
	{
		"fallback_application_name ApplicationName",
		"is not the URL's to choose",
		"take it out: brimline names its sessions by itself",
	},
	{
		"replication",
		"is not the URL's to choose",
		"take it out: `brimline capture` asks for replication by itself",
	},
	{
		"adapter reconnect variables advisory_locks min_messages schema_search_path async_fallback " +
			"server_settings stringtype reWriteBatchedInserts tcpKeepAlive logUnclosedConnections " +
			"defaultRowFetchSize assumeMinServerVersion autosave supa uselibpqcompat sslinline",
		"is another client's",
		"take it out",
	},
}
