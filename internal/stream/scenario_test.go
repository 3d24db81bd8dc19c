package stream

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice/internal/live"
)

// Every way that a session can go, and exactly the events that tell of it: in the
// record of the channel's sessions, and in the outbox for the rest of the world.
// Encoders speak RTMP with the real server; the database is SQLite.
func TestScenarios(t *testing.T) {
	const (
		created, started    = "Session Created", "Stream Start"
		ended, end          = "Session Ended", "Stream End"
		starving, recovered = "Starvation Start", "Starvation End"
		takeover            = "Stream Takeover"
		mismatch            = "Stream Takeover Failure StreamTakeoverMediaMismatch"
		invalid             = "Stream Takeover Failure StreamTakeoverInvalidPriority"
		limited             = "Stream Takeover Failure StreamTakeoverLimitBreached"
		tooManyStreams      = "Concurrent Broadcasts"
		multitrackRequired  = "Session Ended MultitrackInputRequired"
		goLive, moment      = 2 * time.Second, 200 * time.Millisecond
	)
	for name, tt := range map[string]struct {
		with   setting
		scenes []scene
		want   []string
	}{
		// How a session ends.
		"an encoder goes live and says goodbye": {scenes: []scene{
			connects("a", ""), sends("a", goLive), leaves("a"),
		}, want: []string{created, started, ended, end}},
		"its connection breaks off": {scenes: []scene{
			connects("a", ""), sends("a", goLive), breaksOff("a"),
		}, want: []string{created, started, ended, end}},
		"it leaves before anybody could watch": {scenes: []scene{
			connects("a", ""), sends("a", moment), leaves("a"),
		}, want: []string{created, ended}},
		"it breaks off before it sends anything": {scenes: []scene{
			connects("a", ""), breaksOff("a"),
		}, want: []string{created, ended}},
		"it never sends anything": {scenes: []scene{
			connects("a", ""), nothing(40 * time.Second), isOut("a"),
		}, want: []string{created, ended}},
		"it falls silent for good": {scenes: []scene{
			connects("a", ""), sends("a", goLive), nothing(40 * time.Second), isOut("a"),
		}, want: []string{created, started, starving, ended, end}},
		"it falls silent and goes on on the same connection": {scenes: []scene{
			connects("a", ""), sends("a", goLive), nothing(20 * time.Second), isIn("a"), sends("a", 10*time.Second), leaves("a"),
		}, want: []string{created, started, starving, recovered, ended, end}},
		"it falls silent again and again": {scenes: []scene{
			connects("a", ""), sends("a", goLive), nothing(20 * time.Second), sends("a", 10*time.Second), nothing(20 * time.Second), sends("a", 10*time.Second), leaves("a"),
		}, want: []string{created, started, starving, recovered, starving, recovered, ended, end}},
		"the stream is stopped": {scenes: []scene{
			connects("a", ""), sends("a", goLive), stops, isOut("a"),
		}, want: []string{created, started, ended, end}},
		"it is stopped before it is live": {scenes: []scene{
			connects("a", ""), sends("a", moment), stops, isOut("a"),
		}, want: []string{created, ended}},
		"it is stopped and the encoder comes back": {scenes: []scene{
			connects("a", ""), sends("a", goLive), stops, connects("b", ""), sends("b", goLive), leaves("b"),
		}, want: []string{created, started, ended, end, created, started, ended, end}},
		"it has lasted 48 hours": {scenes: []scene{
			connects("a", ""), sends("a", goLive), ages(maxDuration - 20*time.Second), sends("a", 10*time.Second), isIn("a"), sends("a", 10*time.Second), isOut("a"),
		}, want: []string{created, started, ended, end}},
		"the server shuts down": {scenes: []scene{
			connects("a", ""), sends("a", goLive), func(s *stage) { s.drain() }, isOut("a"),
		}, want: []string{created, started, ended, end}},
		"another node takes the lease of one that hangs": {scenes: []scene{
			connects("a", ""), sends("a", goLive), losesLease, sends("a", ttl), isOut("a"),
		}, want: []string{created, started, ended, end}},
		"media that breaks the protocol": {scenes: []scene{
			connects("a", ""), sends("a", goLive), func(s *stage) { _ = s.encoders["a"].client.WriteVideo(0, []byte{0x17, 1}) }, nothing(time.Second), isOut("a"),
		}, want: []string{created, started, ended, end}},
		"a codec that is not taken": {scenes: []scene{
			connects("a", ""), func(s *stage) { _ = s.encoders["a"].client.WriteVideo(0, []byte{0x12, 0, 0, 0, 0, 0}) }, nothing(time.Second), isOut("a"),
		}, want: []string{created, ended}},
		"a single track where several are required": {with: setting{channel: func(c *live.Channel) {
			c.Multitrack = &live.Multitrack{Enabled: true, Policy: "REQUIRE", MaximumResolution: "FULL_HD"}
		}}, scenes: []scene{
			connects("a", ""), sends("a", goLive), isOut("a"),
		}, want: []string{created, multitrackRequired}},

		// Who is let in.
		"a second encoder": {scenes: []scene{
			connects("a", ""), sends("a", goLive), refused(""), refused("?keyframeInterval=2"), sends("a", moment), leaves("a"),
		}, want: []string{created, started, ended, end}},
		"a second encoder while the first is silent": {scenes: []scene{
			connects("a", ""), sends("a", goLive), nothing(25 * time.Second), refused(""), sends("a", 10*time.Second), leaves("a"),
		}, want: []string{created, started, starving, recovered, ended, end}},
		"a second encoder once the silence has ended the session": {scenes: []scene{
			connects("a", ""), sends("a", goLive), nothing(35 * time.Second), connects("b", ""), sends("b", goLive), leaves("b"),
		}, want: []string{created, started, starving, ended, end, created, started, ended, end}},
		"the same encoder, back at once": {scenes: []scene{
			connects("a", ""), sends("a", goLive), breaksOff("a"), connects("b", ""), sends("b", goLive), leaves("b"),
		}, want: []string{created, started, ended, end, created, started, ended, end}},
		"keys that are not good": {scenes: []scene{
			refusedKey(func(string) string { return "sk_us-west-2_abc_def" }), refusedKey(func(k string) string { return k[:len(k)-1] }), refusedKey(func(string) string { return "x" }),
		}},
		"plain RTMP to a channel that wants it encrypted": {with: setting{channel: func(c *live.Channel) { c.InsecureIngest = false }}, scenes: []scene{
			refused(""),
		}},
		"the key is deleted during the stream": {scenes: []scene{
			connects("a", ""), sends("a", goLive), func(s *stage) { s.deleteKey(s.t, s.request) }, sends("a", goLive), isIn("a"), refused("?priority=5"), leaves("a"), refused(""),
		}, want: []string{created, started, ended, end}},
		"one stream more than the account may have": {with: setting{node: func(c *Config) { c.MaxPerAccount = 1 }}, scenes: []scene{
			func(s *stage) { _, r := s.create(s.t); s.publish(s.t, r) }, refused(""),
		}, want: []string{tooManyStreams}},

		// Takeover.
		"an encoder of higher priority takes over": {scenes: []scene{
			connects("a", "?priority=1"), sends("a", goLive), connects("b", "?priority=2"), sends("b", moment), isOut("a"), sends("b", goLive), unbroken, leaves("b"),
		}, want: []string{created, started, takeover, ended, end}},
		"one with a priority takes over from one without": {scenes: []scene{
			connects("a", ""), sends("a", goLive), connects("b", "?priority=1"), sends("b", moment), isOut("a"), leaves("b"),
		}, want: []string{created, started, takeover, ended, end}},
		"one after the other": {scenes: []scene{
			connects("a", ""), sends("a", goLive), connects("b", "?priority=1"), sends("b", goLive), connects("c", "?priority=2"), sends("c", goLive), connects("d", "?priority=30"), sends("d", goLive), unbroken, leaves("d"),
		}, want: []string{created, started, takeover, takeover, takeover, ended, end}},
		"equal, lower and impossible priorities": {scenes: []scene{
			connects("a", "?priority=5"), sends("a", goLive), refused("?priority=5"), refused("?priority=4"), refused("?priority=0"), refused("?priority=2147483648"), refused("?priority=best"), refused("?priority="), isIn("a"), leaves("a"),
		}, want: []string{created, started, invalid, invalid, invalid, invalid, invalid, invalid, ended, end}},
		"priorities are forgotten with the stream": {scenes: []scene{
			connects("a", "?priority=2147483647"), sends("a", goLive), refused("?priority=7"), leaves("a"),
			connects("b", ""), sends("b", goLive), connects("c", "?priority=1"), sends("c", moment), isOut("b"), leaves("c"),
		}, want: []string{created, started, invalid, ended, end, created, started, takeover, ended, end}},
		"a phone changes networks: its old connection hangs": {scenes: []scene{
			connects("a", ""), sends("a", goLive), nothing(25 * time.Second), connects("b", "?priority=1"), sends("b", moment), isOut("a"), sends("b", 10*time.Second), unbroken, leaves("b"),
		}, want: []string{created, started, starving, takeover, recovered, ended, end}},
		"the old connection breaks off before the new one sends": {scenes: []scene{
			connects("a", ""), sends("a", goLive), connects("b", "?priority=1"), breaksOff("a"), sends("b", goLive), unbroken, leaves("b"),
		}, want: []string{created, started, takeover, ended, end}},
		"both connections break off": {scenes: []scene{
			connects("a", ""), sends("a", goLive), connects("b", "?priority=1"), breaksOff("a"), breaksOff("b"),
		}, want: []string{created, started, ended, end}},
		"who wants to take over leaves again": {scenes: []scene{
			connects("a", ""), sends("a", goLive), connects("b", "?priority=1"), leaves("b"), sends("a", goLive), isIn("a"), unbroken, leaves("a"),
		}, want: []string{created, started, ended, end}},
		"who wants to take over sends nothing": {scenes: []scene{
			connects("a", ""), sends("a", goLive), connects("b", "?priority=1"), sends("a", 12*time.Second), isOut("b"), isIn("a"), leaves("a"),
		}, want: []string{created, started, mismatch, ended, end}},
		"who wants to take over has another picture": {scenes: []scene{
			connects("a", ""), sends("a", goLive), connects("b", "?priority=1", sized(1280, 720)), sends("b", moment), isOut("b"), sends("a", moment), isIn("a"), unbroken, leaves("a"),
		}, want: []string{created, started, mismatch, ended, end}},
		"who wants to take over has no sound": {scenes: []scene{
			connects("a", ""), sends("a", goLive), connects("b", "?priority=1", mute), sends("b", 3*time.Second), isOut("b"), isIn("a"), leaves("a"),
		}, want: []string{created, started, mismatch, starving, ended, end}},
		"who wants to take over has sound as well": {scenes: []scene{
			connects("a", "", mute), sends("a", goLive), connects("b", "?priority=1"), sends("b", moment), isOut("b"), isIn("a"), leaves("a"),
		}, want: []string{created, started, mismatch, ended, end}},
		"more takeovers than allowed": {with: setting{node: func(c *Config) { c.MaxTakeovers = 1 }}, scenes: []scene{
			connects("a", ""), sends("a", goLive), connects("b", "?priority=1"), sends("b", moment), refused("?priority=2"), isIn("b"), leaves("b"),
		}, want: []string{created, started, takeover, limited, ended, end}},
		"a takeover before anybody could watch": {scenes: []scene{
			connects("a", ""), sends("a", moment), connects("b", "?priority=1"), sends("b", goLive), isOut("a"), leaves("b"),
		}, want: []string{created, takeover, started, ended, end}},
		"a stop during a takeover": {scenes: []scene{
			connects("a", ""), sends("a", goLive), connects("b", "?priority=1"), stops, isOut("a"), isOut("b"),
		}, want: []string{created, started, ended, end}},
		"a stop after a takeover": {scenes: []scene{
			connects("a", ""), sends("a", goLive), connects("b", "?priority=1"), sends("b", moment), stops, isOut("b"),
		}, want: []string{created, started, takeover, ended, end}},

		// What is away for a moment.
		"the database is away during the start": {scenes: []scene{
			connects("a", ""), func(s *stage) { s.db.down(refuses) }, sends("a", goLive), func(s *stage) { s.db.down(fine) }, sends("a", ttl), leaves("a"),
		}, want: []string{created, started, ended, end}},
		"the database loses its answers": {scenes: []scene{
			connects("a", ""), func(s *stage) { s.db.breaks(deafTo("UpdateSession", "AppendEvents", "EndSession")) }, sends("a", goLive), nothing(6 * time.Second), sends("a", ttl), leaves("a"),
		}, want: []string{created, started, starving, recovered, ended, end}},
		"the bus is away": {scenes: []scene{
			func(s *stage) { s.bus.cut(true) }, connects("a", ""), sends("a", goLive), func(s *stage) { s.bus.cut(false) }, leaves("a"),
		}, want: []string{created, started, ended, end}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := play(t, tt.with, tt.scenes)
				s.db.down(fine)
				var want []string // that sessions know of
				for _, w := range tt.want {
					if w != tooManyStreams {
						want = append(want, w)
					}
				}
				if got := s.history(); !slices.Equal(got, want) {
					t.Errorf("the record has\n\t%s\nwant\n\t%s", strings.Join(got, ", "), strings.Join(want, ", "))
				}
				told := s.told(t, s.arn)
				if !slices.Equal(told, tt.want) {
					t.Errorf("the world hears\n\t%s\nwant\n\t%s", strings.Join(told, ", "), strings.Join(tt.want, ", "))
				}
			})
		})
	}
}
