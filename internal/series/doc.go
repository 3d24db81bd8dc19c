// Package series keeps the numbers that CloudWatch would have of a channel and of all
// channels (low-latency.md 11): what encoders send, who watches, how long. Whoever
// measures something calls Add; whoever shows it calls Query. It draws nothing, alarms
// nobody, and what is to be measured is not its business.
//
// # Resolutions
//
// The metrics of ingest are kept by the second for three hours, in the memory of the
// node that recorded them: a restart loses that, and another node does not see it. All
// metrics are kept by the minute for 15 days, then by five minutes until they are 63
// days old, then by the hour for 455 days. That is in the store, for all nodes. It is
// written once a minute: a process that is killed loses the minute since, and a clean
// stop loses nothing.
//
// Each bucket of each resolution has the count, the sum, the least and the greatest of
// its samples, as whole numbers. So every statistic is exact at every resolution.
//
// # Memory and disk
//
// A live channel with one track of each kind takes about 0.2 MB of memory for its three
// hours, a hundredth of what its media takes; a thousand channels take 0.2 GB. It takes
// 0.13 MB of the store a day, of which a quarter is left after 15 days and a sixteenth
// after 63. TestFootprint holds these figures.
package series
