// Package audit keeps a log of every API call: who, when, from where, what, and what
// came of it. A record is one line of JSON in the form of a CloudTrail record, with
// secrets withheld. The log is files in one directory that are only ever appended to; a
// full file is followed by the next, and the oldest go. Search reads them back.
//
// Calls with a valid signature and calls without one have files of their own, so that
// strangers cannot push out what is known of those who are let in.
//
// What the log guarantees:
//
//   - A signed call that may change something is in the file before its answer is sent:
//     whoever has an answer has a record, also after kill -9. Other calls are queued when
//     they are answered, and are in the file milliseconds later.
//   - The disk is told to keep what is in the file once a second; a power failure can
//     cost that second. A line it cut short is passed over by Search, which says so.
//   - When the disk does not take records, a call waits for it at most a second, and no
//     further call waits until records are taken again. Meanwhile maxQueued bytes of
//     records are kept; what comes after that is lost, but never silently: it is counted
//     by a metric, said in the process's log, and told by a record of its own
//     (AuditRecordsLost) in the place where the lost ones would stand.
//
// It is no log of what the process does by itself, or of what an operator does with the
// command line, and it serves nothing over HTTP.
package audit
