// Package httpapi serves what an instance knows over HTTP, for programs and
// for people: health, metrics, users, alerts, and one page over all of it.
//
// Admission says who may ask: with tokens, the role read takes one and what
// changes something one of the role operate; people log in on the page. Without
// tokens everybody who reaches it reads, and nothing is changed. A request's
// Host must be an address, localhost or an allowed name. Amounts are
// decimal strings, times ISO 8601 in UTC. Failures are problems of RFC 9457
// whose type ends in the kind of brimline.Error, with its remedy. Query
// parameters that an address does not know are such a failure. openapi.yaml
// describes it all, is served, and every test's answers are compared with it.
//
//	/                          the page; ?user=ID shows a user, without JavaScript too
//	/alert                     one alert with its evidence (?id=), for people
//	/rules                     the rules and how often they hit, likewise
//	/operations                stages, partitions and dead letters, likewise
//	/operations/retry          POST: the form there
//	/login, /logout            of people, where there are tokens
//	/healthz                   200 while the process is alive
//	/readyz                    200 with what is degraded, or 503 with the reasons where it should not be asked
//	/metrics                   Prometheus
//	/api/v1/users/{id}         figures as of now, newest rows (?rows=100)
//	/api/v1/users/{id}/explain why there was an alert of a rule at a time, or none
//	/api/v1/users/{id}/alerts  the user's alerts, newest edge first
//	/api/v1/alerts             alerts by user, rule, severity and time, page by page (cursor)
//	/api/v1/alerts.csv         the same as a table
//	/api/v1/alerts/by-id       one alert (?id=)
//	/api/v1/alerts/stream      alerts as they come: server-sent events
//	/api/v1/shadow             alerts of rules that are on trial
//	/api/v1/dismissed          what PostgreSQL did not confirm
//	/api/v1/dead-letters       what could not be taken in
//	/api/v1/dead-letters/retry POST: one of them through again
//	/api/v1/status             stages, partitions, lag
//	/api/v1/rules              the rules in force
//	/api/v1/topology           the flow
//	/api/v1/openapi.yaml       the description of /api/v1
package httpapi
