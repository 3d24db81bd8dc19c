package e2e

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/multitrack"
	"github.com/sluice-live/sluice/internal/rtmp"
	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/testmedia"
)

// rendition is what an encoder was told to make of one track.
type rendition struct {
	Type      string
	Width     int
	Height    int
	FrameRate struct{ Numerator, Denominator int }
	Settings  struct{ Bitrate int }
}

// configuration is the answer to GetClientConfiguration, as far as an encoder reads it.
type configuration struct {
	Meta struct {
		ConfigID string `json:"config_id"`
	}
	Endpoints []struct {
		Protocol       string
		URLTemplate    string `json:"url_template"`
		Authentication string
	} `json:"ingest_endpoints"`
	Encoders []rendition `json:"encoder_configurations"`
	Status   *struct {
		Result string
		HTML   string `json:"html_en_us"`
	}
}

// publishURL is where the encoder publishes over plain RTMP, as OBS puts it together.
func (c configuration) publishURL(t testing.TB) string {
	t.Helper()
	for _, e := range c.Endpoints {
		if e.Protocol == "RTMP" {
			return strings.Replace(e.URLTemplate, "{stream_key}", e.Authentication, 1) + "?clientConfigId=" + c.Meta.ConfigID
		}
	}
	t.Fatalf("no endpoint of RTMP in %+v", c)
	return ""
}

// configure asks for a configuration with a canvas of 852x480, the smallest one that
// gives three tracks.
func configure(t testing.TB, srv *servertest.Server, key string) configuration {
	t.Helper()
	body := `{"service":"IVS","schema_version":"2025-01-25","authentication":"` + key + `",
"client":{"name":"e2e","version":"1","supported_codecs":["h264"]},
"capabilities":{"cpu":{"physical_cores":2,"logical_cores":4},"memory":{"total":1,"free":1},"gpu":[{"vendor_id":4318,"dedicated_video_memory":8589934592}]},
"preferences":{"canvases":[{"width":852,"height":480,"canvas_width":852,"canvas_height":480,"framerate":{"numerator":24,"denominator":1}}]}}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.Base+multitrack.ConfigurationPath, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var c configuration
	if err := json.NewDecoder(resp.Body).Decode(&c); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GetClientConfiguration: %d, %v", resp.StatusCode, err)
	}
	return c
}

// A timedTag is one message of an encoder.
type timedTag struct {
	at    int64 // DTS in ms
	sound bool
	body  []byte
}

// multitrackTags makes what a multitrack encoder sends in some seconds: a keyframe each second
// in every track, and a tone. bare is the number of the track whose keyframes
// come without metrics, late that of the track that is a frame behind; -1 for none.
func multitrackTags(t testing.TB, all []rendition, seconds, bare, late int) []timedTag {
	t.Helper()
	var out []timedTag
	for i, r := range all {
		v, a := testmedia.Units(t, testmedia.Source{
			Width: r.Width, Height: r.Height, FPS: r.FrameRate.Numerator, BitRate: 1000 * r.Settings.Bitrate,
			Audio: i == 0, HEVC: strings.Contains(r.Type, "hevc"),
		}, seconds*r.FrameRate.Numerator)
		out = append(out, videoTags(v, i, i != bare, i == late)...)
		if i == 0 {
			out = append(out, soundTags(a)...)
		}
	}
	return sorted(out)
}

// sorted is all in the order of their times.
func sorted(all []timedTag) []timedTag {
	slices.SortStableFunc(all, func(a, b timedTag) int { return cmp.Compare(a.at, b.at) })
	return all
}

func videoTags(v testmedia.Track, id int, metrics, late bool) []timedTag {
	codec, appendBody := rtmp.AVC, rtmp.AppendExVideo
	if v.HEVC {
		codec = rtmp.HEVC
	} else if id == 0 {
		appendBody = rtmp.AppendVideo // as OBS sends it
	}
	out := []timedTag{{at: -1, body: appendBody(nil, rtmp.Tag{Codec: codec, Packet: rtmp.PacketConfig, Track: uint8(id), Data: v.Header})}}
	for _, u := range v.Units {
		data := u.Data
		if u.Key && metrics {
			data = withMetrics(v.HEVC, data)
		}
		p := timedTag{at: int64(u.Time), body: appendBody(nil, rtmp.Tag{
			Codec: codec, Packet: rtmp.PacketFrames, Key: u.Key, Track: uint8(id), Data: data,
		})}
		if late {
			p.at += 42
		}
		out = append(out, p)
	}
	return out
}

func soundTags(a testmedia.Track) []timedTag {
	out := []timedTag{{at: -1, sound: true, body: rtmp.AppendAudio(nil, rtmp.Tag{Codec: rtmp.AAC, Packet: rtmp.PacketConfig, Data: a.Header})}}
	for _, u := range a.Units {
		out = append(out, timedTag{at: int64(u.Time), sound: true, body: rtmp.AppendAudio(nil, rtmp.Tag{Codec: rtmp.AAC, Packet: rtmp.PacketFrames, Data: u.Data})})
	}
	return out
}

// withMetrics puts the times of a keyframe into it (clients.md C.5).
func withMetrics(hevc bool, data []byte) []byte {
	sei := []byte{0x06}
	if hevc {
		sei = []byte{0x4e, 0x01}
	}
	payload := append([]byte{0x0a, 0xec, 0xff, 0xe7, 0x52, 0x72, 0x4e, 0x2f, 0xa6, 0x2f, 0xd1, 0x9c, 0xd6, 0x1a, 0x93, 0xb5},
		"\x00\x01\x012026-11-20T01:02:03Z\x00"...) // one time: of composition, as text
	sei = append(sei, 5, byte(len(payload)))
	sei = append(append(sei, payload...), 0x80)
	out := append(binary.BigEndian.AppendUint32(nil, uint32(len(sei))), sei...)
	return append(out, bytes.Clone(data)...)
}

// publish sends all in real time, then says goodbye. It returns what the server
// said, nil when it took everything.
func publish(t testing.TB, url string, all []timedTag) *rtmp.StatusError {
	t.Helper()
	c, err := dial(t, url)
	if s, ok := errors.AsType[*rtmp.StatusError](err); ok {
		return s
	} else if err != nil {
		t.Error(err)
		return nil
	}
	over, word := make(chan struct{}), error(nil)
	go func() { // ends with the connection
		defer close(over)
		word = c.Wait()
	}()
	ended := sendTags(c, all, over)
	if !ended {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	<-over
	_ = c.Abort() // it is closed, or the server ended it
	if s, ok := errors.AsType[*rtmp.StatusError](word); ok && s.Level == "error" {
		return s
	} else if ended {
		t.Errorf("the server closed the connection with %v", word)
	}
	return nil
}

// publishing is publish in the background; wait returns what publish does.
func publishing(t testing.TB, url string, all []timedTag) (wait func() *rtmp.StatusError) {
	t.Helper()
	done, word := make(chan struct{}), (*rtmp.StatusError)(nil)
	go func() { // ends with the broadcast
		defer close(done)
		word = publish(t, url, all)
	}()
	wait = func() *rtmp.StatusError {
		<-done
		return word
	}
	t.Cleanup(func() { <-done })
	return wait
}

// sendTags reports whether the server ended the broadcast before all was sent.
func sendTags(c *rtmp.Client, all []timedTag, over <-chan struct{}) (ended bool) {
	start := time.Now()
	due := time.NewTimer(0)
	defer due.Stop()
	for _, p := range all {
		due.Reset(time.Until(start.Add(time.Duration(p.at) * time.Millisecond)))
		select {
		case <-over:
			return true
		case <-due.C:
		}
		write := c.WriteVideo
		if p.sound {
			write = c.WriteAudio
		}
		if err := write(uint32(max(p.at, 0)), p.body); err != nil {
			<-over // the server closed the connection and has said why
			return true
		}
	}
	return false
}
