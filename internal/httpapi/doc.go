// Package httpapi serves what an instance knows over HTTP, for programs and
// for people: health, metrics, users, alerts, and one page over all of it.
//
// It answers GET and HEAD only, changes nothing, and does not ask who is
// asking: it belongs on loopback or behind something that does. A request's
// Host must be an address, localhost or an allowed name. Amounts are
// decimal strings, times ISO 8601 in UTC. Failures are
// {"error":{"kind","message","remedy"}}; kinds are those of brimline.Error.
// Query parameters that an address does not know are such a failure.
//
//	/                          the page; ?user=ID shows a user, without JavaScript too
//	/healthz                   200 while the process is alive
//	/readyz                    200 with what is degraded, or 503 with the reasons where it should not be asked
//	/metrics                   Prometheus
//	/api/v1/users/{id}         figures as of now, newest rows (?rows=100)
//	/api/v1/users/{id}/alerts  the user's alerts, newest edge first
//	/api/v1/alerts             the newest alerts of all users (?limit=50), or of one (?user=ID)
//	/api/v1/status             stages, partitions, lag
//	/api/v1/rules              the rules in force
//	/api/v1/topology           the flow
package httpapi
