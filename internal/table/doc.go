// Package table is the state of a goka table, from LevelDB up to what a stage's callbacks see. The changelog, a
// compacted topic, is the truth: all that is here may be lost or deleted at any time, and is read from there again.
// What a table means (its keys, and which of two values stands) is said in package processors.
//
// # The layers
//
//	the stage's callbacks
//	  Decoded      decoded.go      decoded values in use, for stages that want them; within a budget of bytes
//	  Partition    partition.go    reads any key, ends the callback when a write fails; beside.go writes further keys
//	goka
//	  watched      table.go        tells the stage when a partition is opened, read, recovered, visited and closed
//	  Shared       shared.go       one state per partition for the stage and the views of a process, which hand it over
//	  escaping     offsetkey.go    no user's key is goka's own
//	  guard        guard.go        one writer: acknowledged offsets are consecutive, or nothing more is written
//	  writeBehind  writebehind.go  values in memory until the changelog has them; merged.go iterates over both
//	  written      written.go      the keys that a changelog has brought to an empty state: no other is looked for
//	  ReadCache    readcache.go    encoded values that were read or flushed, of all tables of a process, within a budget
//	  Local        local.go        one LevelDB per partition, bound to the topic's id; damage is set aside
//	  openFiles    ownfiles.go     its tables are written many blocks at a time
//	LevelDB
//
// New puts them together, and Local.Build the part from the guard down. A view beside the stage reads
// the same state, by Shared. Any other has escaping over a Copy (copy.go), in goka's own LevelDB storage or in a map
// (memory.go), and nothing in between.
//
// # What each guarantees, and what it may lose
//
// The names are of tests here, where nothing else is said.
//
//   - Local: the state is of the topic as it is now, and not ahead of it, or it is empty. The id is written before the
//     state, and taken away to distrust it. It may lose everything (TestStateThatTheLogDoesNotBackIsDropped,
//     TestDamagedStateIsSetAside, TestStateHalfDeletedIsDeleted).
//   - ReadCache: what it gives is what LevelDB has. It may lose anything (TestReadCacheIsTruthfulAndBounded,
//     TestSlowReadDoesNotHideANewerValue).
//   - written: a key that it does not know has no value. It is kept while a changelog is read into an empty state, when
//     the cache is left alone too (TestWrittenKeysAreKnown, TestKeysThatAreNewAreNotLookedFor).
//   - openFiles: a table that could not be written is not taken for one (TestTablesAreWrittenWhenTheyAreSynced).
//   - writeBehind: LevelDB holds the values of all records up to an offset that the changelog has acknowledged, and
//     that offset, written in one transaction. It may lose what came since the last flush, some two seconds or 2 MiB
//     (more on a slow disk, or where the changelog is slow: decision 6), which the changelog has, or else the message
//     comes again (TestLevelDBIsAPrefixOfTheLog, TestFlushWaitsForTheLastAcknowledgement). A flush that fails ends the
//     partition (TestFailureOfAFlushStays).
//   - guard: the stored offset never passes a record that another instance wrote and that was not read here. It loses
//     nothing; it may give up the state (TestGuardToleratesOneWriterOnly, TestGuardDistrustsALogThatLostRecords,
//     TestRefusedWritesStayOutOfLevelDB).
//   - escaping: a user called like goka's key for the offset has a value like any other
//     (TestUsersCannotReachGokasOffset).
//   - Shared: of the stage and the views one has a partition's state open; it is read from only when it has been read
//     to its end, and has all that was told of it before, or a second has passed (TestAPartitionHasOneReader,
//     TestALostStateIsNotAnsweredFrom, TestStateIsOpenedWhileTheLogIsAway,
//     TestUsersAreAnsweredWhoeverHasThem of internal/app). It has nothing to lose.
//   - Partition: a callback does not go on after a write or a read that failed, so that its message is not marked as
//     done (TestNothingFollowsAValueThatWasRefused of processors/window, TestAnAlertThatIsNotInTheTableIsNotDone of
//     processors/index).
//   - Decoded: never more than the table has, as long as who writes a key puts or drops it here. It may lose anything
//     (TestDecodedIsTruthfulAndBounded, TestAPartitionThatIsTakenOverIsReadAnew of processors/window).
//   - all of them together: TestAllLayersOfATable, TestTheStageHearsOfItsPartitions.
//
// # A crash in between
//
// A message's way, and what a kill leaves after each step. Faults are those of internal/crash, where TestCrash runs
// them and TestProofFailsWithout takes a protection away.
//
//  1. A segment is in memory and sent to the changelog (SetBeside); the value that names it is not. No value names it:
//     the message comes again and writes the same, or a sweep deletes it. Fault at-segment-set;
//     TestWalksFindSegmentsThatNoValueNames of processors/window.
//  2. The value is in memory and sent. If the changelog has it, the message comes again, finds itself folded, and
//     writes and emits the same. If not, it comes again and finds the old value. Faults at-window-set, at-index-set;
//     protection replay.
//  3. The changelog has acknowledged it, and LevelDB does not have it. The next start reads the changelog from the
//     stored offset on: TestLevelDBIsAPrefixOfTheLog; fault kill-one.
//  4. A flush is under way. The transaction of LevelDB is tables and then one entry of the manifest: before that entry
//     there are only files of which LevelDB knows nothing. TestLevelDBIsAPrefixOfTheLog kills between flushes, faults
//     kill-one and kill-all at any time.
//  5. LevelDB has it, and the message's offset is not marked. As 2: fault at-before-mark, protection ordered-marks.
//  6. While a changelog is read, each record is taken in and then its offset, both behind: the next start reads on
//     from the last flush. Fault at-recovering.
//  7. State that is given up is renamed and then deleted: what is left of it is deleted by the next start
//     (TestStateHalfDeletedIsDeleted).
//
// And what no kill does:
//
//   - Frozen and thawed, an instance writes what it held over its successor's values. The guard keeps its own state
//     right (fault freeze, protection table-guard), the stage's Keep that of all who read the changelog (fault freeze,
//     protection keep-newer).
//   - The disk is full, or bytes are damaged: faults disk-full, state-damaged, state-stale, state-wiped; protection
//     sound-state. Damage that LevelDB does not notice when it is opened ends the partition when it is read, and then
//     the state is not trusted at the next start.
//   - The topic was created anew: the id; protection topic-id, fault topic-anew is of the source only.
package table
