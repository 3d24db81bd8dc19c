package series

import "time"

// A Metric is one kind of number, by its name in CloudWatch.
type Metric string

// The metrics (low-latency.md 11).
const (
	ConcurrentViews    Metric = "ConcurrentViews"
	ConcurrentStreams  Metric = "ConcurrentStreams"
	IngestAudioBitrate Metric = "IngestAudioBitrate"
	IngestVideoBitrate Metric = "IngestVideoBitrate"
	IngestBitrate      Metric = "IngestBitrate"
	IngestFramerate    Metric = "IngestFramerate"
	KeyframeInterval   Metric = "KeyframeInterval"
	LiveDeliveredTime  Metric = "LiveDeliveredTime"
	LiveInputTime      Metric = "LiveInputTime"
	RecordedTime       Metric = "RecordedTime"
)

// Units, as CloudWatch names them.
const (
	Count          = "Count"
	CountPerSecond = "Count/Second"
	BitsPerSecond  = "Bits/Second"
	Seconds        = "Seconds"
)

// A definition is what there is to know of a metric.
type definition struct {
	metric Metric
	unit   string
	scale  float64 // what a sample is multiplied with to be kept as a whole number
	fine   bool    // kept by the second too
	// pooled says that the samples of all channels make the series without a channel.
	// Of those that are not, whoever knows the whole records it.
	pooled bool
}

// Scales.
const (
	millis = 1000    // keeps seconds to the millisecond
	bytes  = 1. / 8. // keeps bits by the byte, as they come
)

func definitions() [10]definition {
	return [...]definition{
		{ConcurrentViews, Count, 1, false, false},
		{ConcurrentStreams, Count, 1, false, false},
		{IngestAudioBitrate, BitsPerSecond, bytes, true, false},
		{IngestVideoBitrate, BitsPerSecond, bytes, true, false},
		{IngestBitrate, BitsPerSecond, bytes, true, true},
		{IngestFramerate, CountPerSecond, 1, true, true},
		{KeyframeInterval, Seconds, millis, true, false},
		{LiveDeliveredTime, Seconds, millis, false, true},
		{LiveInputTime, Seconds, millis, false, true},
		{RecordedTime, Seconds, millis, false, true},
	}
}

// define returns the definition of a metric.
func define(m Metric) (definition, bool) {
	for _, d := range definitions() {
		if d.metric == m {
			return d, true
		}
	}
	return definition{}, false
}

// Unit is the unit of m, "" if there is no such metric.
func (m Metric) Unit() string {
	d, _ := define(m)
	return d.unit
}

// Fine reports whether m is kept by the second.
func (m Metric) Fine() bool {
	d, _ := define(m)
	return d.fine
}

// A Scope is what a series is about: one channel, or all of an account and region.
type Scope struct {
	Account, Region string
	Channel         string // resource id; "" for all
}

// A Sample is one number that was measured.
type Sample struct {
	Metric Metric
	// Label tells series of one metric apart: "Track0" and so on for the dimension
	// Track, "HEALTHY" and so on for Health; "" for the series without one.
	Label string
	Value float64 // in the metric's unit
}

// A Stat is what is known of the samples of a time.
type Stat struct {
	Count         int64
	Sum, Min, Max float64
}

// Average is 0 without samples.
func (s Stat) Average() float64 {
	if s.Count == 0 {
		return 0
	}
	return s.Sum / float64(s.Count)
}

// How long numbers are kept, by resolution (low-latency.md 11).
const (
	keepFine     = 3 * time.Hour
	keepByMinute = 15 * day
	keepByFive   = 63 * day
	keepByHour   = 455 * day

	day = 24 * time.Hour
)

// The resolutions of what is in the store.
const (
	byMinute = time.Minute
	byFive   = 5 * time.Minute
	byHour   = time.Hour
)
