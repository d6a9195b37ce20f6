// Package bench measures the whole program, as a process of its own on a real broker and a real PostgreSQL, and
// judges every run by PostgreSQL's own window query. `make bench-stack` runs it; docs/benchmarks has results.
//
//   - BenchmarkCatchUp works through rows that are there at the start.
//   - BenchmarkScaleOut does so with 1, 2 and 4 instances.
//   - BenchmarkDeletes does so where a tenth of the rows were deleted, with and without asking again about edges that
//     PostgreSQL refuses.
//   - BenchmarkLatency sends rows at a fixed rate and takes the time until a reader of committed alerts has them.
//   - BenchmarkRebalance does so while a second instance joins, leaves and is killed.
//   - BenchmarkBackfill does so while many rows older than the kept history are updated.
//   - BenchmarkHeavy does so while a user with very many rows in one window gets more.
//   - BenchmarkMemory holds the peak of the resident memory against --memory: catch-up, recovery, heavy users, the API.
//   - BenchmarkSweep does so while very many users are swept.
//   - BenchmarkRecovery builds up the local state of many users from the changelog, and starts again with it.
//
// peers.sh runs brimline through the harness that measures other programs at the same job.
package bench
