package multitrack

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

var update = flag.Bool("update", false, "rewrite the golden files; then review the diff")

// testKey is a stream key that exists in every test here.
const testKey = "sk_us-west-2_Vn8cRd4LhT1y_Zx9Qw2Er5Ty8Ui1Op4As7Df0Gh3Jk6"

// fakeRows is a store of one channel and its key.
type fakeRows struct {
	channel live.Channel
	err     error // of every read
}

func (f *fakeRows) ByLookup(_ context.Context, _, _, lookup string) (store.Row, error) {
	if f.err != nil {
		return store.Row{}, f.err
	}
	if lookup != live.StreamKeyLookup(testKey) {
		return store.Row{}, store.ErrNotFound
	}
	arn := f.channel.ARN
	arn.Type, arn.ID = live.TypeStreamKey, "Vn8cRd4LhT1y"
	return store.RowOfStreamKey(live.StreamKey{ARN: arn, Channel: f.channel.ARN, Value: testKey})
}

func (f *fakeRows) Get(context.Context, live.ARN) (store.Row, error) {
	return store.RowOfChannel(f.channel)
}

func testChannel(edit ...func(*live.Channel)) live.Channel {
	ch := live.Channel{
		ARN:  live.ARN{Service: live.ServiceIVS, Region: "us-west-2", Account: "111122223333", Type: live.TypeChannel, ID: "Kq3ZtB7xWm2P"},
		Type: live.TypeStandard, ContainerFormat: live.ContainerMP4,
		Multitrack: &live.Multitrack{Enabled: true, Policy: live.MultitrackAllow, MaximumResolution: "FULL_HD"},
	}
	for _, f := range edit {
		f(&ch)
	}
	return ch
}

func testHandler(rows *fakeRows, endpoints ...Endpoint) *Handler {
	if endpoints == nil {
		endpoints = []Endpoint{
			{RTMPS, "rtmps://ingest.example.org:443/app/{stream_key}"},
			{RTMP, "rtmp://ingest.example.org:1935/app/{stream_key}"},
		}
	}
	return NewHandler(Config{
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Keys: NewKeys([]byte("secret")), Store: rows,
		Endpoints: func(*http.Request) []Endpoint { return endpoints }, Name: "Here",
	})
}

func ask(h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader(body)))
	return w
}

// obs is what OBS 31 asks on a machine with an NVIDIA GPU; edit puts other text in it.
func obs(edit ...string) string {
	const body = `{"service":"IVS","schema_version":"2025-01-25","authentication":"` + testKey + `",
"client":{"name":"obs-studio","version":"31.0.0","supported_codecs":["h264","h265","av1"]},
"capabilities":{"cpu":{"physical_cores":8,"logical_cores":16,"speed":3600,"name":"A CPU"},"memory":{"total":1,"free":1},
"gaming_features":null,"system":{"version":"10","name":"Windows","build":1,"release":"1","revision":"1","bits":64,"arm":false,"armEmulation":false},
"gpu":[{"model":"A GPU","vendor_id":4318,"device_id":9860,"dedicated_video_memory":8589934592,"shared_system_memory":1,"driver_version":"1"}]},
"preferences":{"maximum_aggregate_bitrate":null,"maximum_video_tracks":null,"vod_track_audio":false,"composition_gpu_index":0,
"audio_samples_per_sec":48000,"audio_channels":2,"audio_max_buffering_ms":960,"audio_fixed_buffering":false,
"canvases":[{"width":1920,"height":1080,"canvas_width":1920,"canvas_height":1080,"framerate":{"numerator":60,"denominator":1}}]}}`
	return strings.NewReplacer(edit...).Replace(body)
}

// sdk is what AWS documents, in the older schema, on a machine without a GPU.
func sdk(edit ...string) string {
	const body = `{"service":"IVS","schema_version":"2024-06-04","authentication":"` + testKey + `","stream_attempt_start_time":"2026-11-20T01:02:03Z",
"client":{"name":"mine","version":"1.0","supported_codecs":["h264"]},
"capabilities":{"cpu":{"logical_cores":16,"physical_cores":8,"name":"A CPU","speed":3000},"memory":{"total":1,"free":1},"system":{"name":"Linux"}},
"preferences":{"canvas_width":1280,"canvas_height":720,"width":1280,"height":720,"framerate":{"numerator":30,"denominator":1},
"composition_gpu_index":0,"maximum_streaming_bandwidth":9000,"maximum_video_tracks":5,"maximum_resolution":"FULL_HD","vod_track_audio":true}}`
	return strings.NewReplacer(edit...).Replace(body)
}

var configID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

// The whole answers, as encoders get them.
func TestConfigurationGolden(t *testing.T) {
	for name, tt := range map[string]struct {
		channel live.Channel
		body    string
	}{
		"obs":         {testChannel(), obs()},
		"sdk":         {testChannel(func(c *live.Channel) { c.InsecureIngest = true }), sdk()},
		"hevc":        {testChannel(), obs(`"h264","h265","av1"`, `"h265"`)},
		"not-enabled": {testChannel(func(c *live.Channel) { c.Multitrack = nil }), obs()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // the key holds a time
				w := ask(testHandler(&fakeRows{channel: tt.channel}), http.MethodPost, ConfigurationPath, tt.body)
				if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
					t.Errorf("%d %v", w.Code, w.Header())
				}
				if n := len(configID.FindAllString(w.Body.String(), -1)); n != 1 {
					t.Errorf("%d config ids", n)
				}
				var v any
				if err := json.Unmarshal(configID.ReplaceAll(w.Body.Bytes(), []byte("CONFIG-ID")), &v); err != nil {
					t.Fatal(err)
				}
				got, err := json.MarshalIndent(v, "", " ")
				if err != nil {
					t.Fatal(err)
				}
				golden(t, name+".json", append(got, '\n'))
			})
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil { //nolint:gosec // it is source
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

// What is wrong is said to the broadcaster, in an answer that OBS can read.
func TestConfigurationSaysWhatIsWrong(t *testing.T) {
	const gpu = `"gpu":[{"model":"A GPU","vendor_id":4318,"device_id":9860,"dedicated_video_memory":8589934592,"shared_system_memory":1,"driver_version":"1"}]`
	for name, tt := range map[string]struct {
		channel func(*live.Channel)
		body    string
		says    string
	}{
		"another service":               {nil, obs(`"IVS"`, `"TWITCH"`), "The service must be IVS."},
		"nothing at all":                {nil, `{}`, "Required fields are missing: service, schema_version, authentication, client, capabilities, preferences."},
		"members of members":            {nil, `{"service":"IVS","schema_version":"2025-01-25","authentication":"x","client":{},"capabilities":{},"preferences":{}}`, "client.name, client.version, client.supported_codecs, capabilities.cpu, preferences.canvas_width and canvas_height, preferences.framerate."},
		"a schema that is no date":      {nil, obs(`"2025-01-25"`, `"latest"`), "schema version"},
		"a key that does not exist":     {nil, obs("Zx9Qw2", "AAAAAA"), "The stream key is not valid."},
		"a key longer than any":         {nil, obs(testKey, strings.Repeat("k", 600)), "The stream key is not valid."},
		"multitrack not enabled":        {func(c *live.Channel) { c.Multitrack.Enabled = false }, obs(), "Multitrack video is not enabled for this channel."},
		"59.94 frames per second":       {nil, obs(`"numerator":60,"denominator":1`, `"numerator":60000,"denominator":1001`), "60000/1001 is not supported"},
		"an odd frame rate":             {nil, obs(`"numerator":60`, `"numerator":29`), "29/1 is not supported"},
		"a tiny canvas":                 {nil, obs(`"width":1920`, `"width":63`), "canvas"},
		"a huge canvas":                 {nil, obs(`"height":1080`, `"height":20000`), "canvas"},
		"a negative canvas":             {nil, obs(`"height":1080`, `"height":-1080`), "canvas"},
		"no GPU and few cores":          {nil, obs(gpu, `"gpu":null`, `"physical_cores":8`, `"physical_cores":2`), "No supported GPU"},
		"a GPU without memory":          {nil, obs("8589934592", "1000", `"physical_cores":8`, `"physical_cores":2`), "No supported GPU"},
		"a GPU of nobody":               {nil, obs("4318", "1", `"physical_cores":8`, `"physical_cores":2`), "No supported GPU"},
		"only AV1":                      {nil, obs(`"h264","h265","av1"`, `"av1"`), "codecs"},
		"H.265 by the CPU":              {nil, obs(gpu, `"gpu":[]`, `"h264","h265","av1"`, `"h265"`), "codecs"},
		"too little bandwidth":          {nil, obs(`"maximum_aggregate_bitrate":null`, `"maximum_aggregate_bitrate":500`), "Not even two small tracks"},
		"one track where two must be":   {func(c *live.Channel) { c.Multitrack.Policy = live.MultitrackRequire }, obs(`"maximum_video_tracks":null`, `"maximum_video_tracks":1`), "requires multitrack video"},
		"text that is no HTML":          {nil, obs(`"numerator":60,"denominator":1`, `"numerator":60,"denominator":-1`), "60/-1"},
		"a key that was sealed already": {nil, obs(testKey, "v1_00_00_00_"+testKey), "The stream key is not valid."},
	} {
		t.Run(name, func(t *testing.T) {
			ch := testChannel()
			if tt.channel != nil {
				tt.channel(&ch)
			}
			w := ask(testHandler(&fakeRows{channel: ch}), http.MethodPost, ConfigurationPath, tt.body)
			var got response
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if w.Code != http.StatusOK || got.Status == nil || got.Status.Result != resultError || !strings.Contains(got.Status.HTML, tt.says) {
				t.Errorf("%d %s, want an error with %q", w.Code, w.Body, tt.says)
			}
			if got.Endpoints == nil || got.Encoders == nil || got.Audio.Live == nil || got.Meta.ConfigID == "" || len(got.Endpoints) > 0 {
				t.Errorf("OBS cannot read %s", w.Body)
			}
			if strings.Contains(w.Body.String(), "Zx9Qw2") {
				t.Error("the answer repeats the key")
			}
		})
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	for name, tt := range map[string]struct {
		method, path, body string
		code               int
	}{
		"no JSON":                {http.MethodPost, ConfigurationPath, "hello", http.StatusBadRequest},
		"JSON of another kind":   {http.MethodPost, ConfigurationPath, `[1]`, http.StatusBadRequest},
		"text where a number is": {http.MethodPost, ConfigurationPath, obs(`"width":1920`, `"width":"x"`), http.StatusBadRequest},
		"two values":             {http.MethodPost, ConfigurationPath, `{} {}`, http.StatusBadRequest},
		"too much":               {http.MethodPost, ConfigurationPath, `{"service":"` + strings.Repeat("x", maxBody) + `"}`, http.StatusRequestEntityTooLarge},
		"GET of a POST":          {http.MethodGet, ConfigurationPath, "", http.StatusMethodNotAllowed},
		"POST of a GET":          {http.MethodPost, FindIngestPath, "{}", http.StatusMethodNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			if w := ask(testHandler(&fakeRows{channel: testChannel()}), tt.method, tt.path, tt.body); w.Code != tt.code {
				t.Errorf("%d %s, want %d", w.Code, w.Body, tt.code)
			}
		})
	}
}

func TestConfigurationWithoutTheStore(t *testing.T) {
	w := ask(testHandler(&fakeRows{err: errors.New("disk on fire")}), http.MethodPost, ConfigurationPath, obs())
	if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "fire") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestConfigurationNeedsAListener(t *testing.T) {
	rows := &fakeRows{channel: testChannel()}
	for name, e := range map[string][]Endpoint{"none": {}, "plain only": {{RTMP, "rtmp://h/app/{stream_key}"}}} {
		if w := ask(testHandler(rows, e...), http.MethodPost, ConfigurationPath, obs()); !strings.Contains(w.Body.String(), "no streams over RTMPS") {
			t.Errorf("%s: %s", name, w.Body)
		}
	}
	rows.channel.InsecureIngest = true
	w := ask(testHandler(rows, Endpoint{RTMP, "rtmp://h/app/{stream_key}"}), http.MethodPost, ConfigurationPath, obs())
	if !strings.Contains(w.Body.String(), `"protocol":"RTMP"`) {
		t.Errorf("a channel with insecureIngest: %s", w.Body)
	}
}

// The key of the answer is the stream key's, without what some put behind it.
func TestConfigurationSealsTheKeyAlone(t *testing.T) {
	h := testHandler(&fakeRows{channel: testChannel()})
	w := ask(h, http.MethodPost, ConfigurationPath, obs(testKey, testKey+"?priority=1"))
	var got response
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Endpoints) != 1 {
		t.Fatal(err, w.Body)
	}
	key := got.Endpoints[0].Authentication
	if k, ok := StreamKey(key); !ok || k != testKey {
		t.Errorf("the sealed key is of %q", k)
	}
	l, err := h.cfg.Keys.Open(key, time.Now())
	if err != nil || len(l) != len(got.Encoders) || len(l) < 2 {
		t.Fatalf("ladder %v, %v", l, err)
	}
	for i, e := range got.Encoders {
		if l[i].Width != e.Width || l[i].Height != e.Height || l[i].FrameRate != e.FrameRate.Numerator || l[i].BitRate != e.Settings.BitRate {
			t.Errorf("track %d: told %+v, sealed %+v", i, e, l[i])
		}
	}
}

func TestFindIngest(t *testing.T) {
	rows := &fakeRows{}
	got := ask(testHandler(rows), http.MethodGet, FindIngestPath, "").Body.String()
	const want = `{"ingests":[{"_id":1,"name":"Here","priority":1,"default":true,"availability":1.0,"url_template":"rtmp://ingest.example.org:1935/app/{stream_key}","url_template_secure":"rtmps://ingest.example.org:443/app/{stream_key}"}]}` + "\n"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	none := NewHandler(Config{
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Keys: NewKeys(nil), Store: rows,
		Endpoints: func(*http.Request) []Endpoint { return nil },
	})
	if got := ask(none, http.MethodGet, FindIngestPath, "").Body.String(); got != `{"ingests":[]}`+"\n" {
		t.Errorf("without listeners: %s", got)
	}
}

func TestAddressesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := testHandler(&fakeRows{channel: testChannel()})
		for i := range burst {
			if w := ask(h, http.MethodGet, FindIngestPath, ""); w.Code != http.StatusOK {
				t.Fatalf("request %d: %d", i, w.Code)
			}
		}
		w := ask(h, http.MethodPost, ConfigurationPath, obs())
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "Too many requests") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		time.Sleep(refill)
		if w := ask(h, http.MethodPost, ConfigurationPath, obs()); w.Code != http.StatusOK {
			t.Errorf("after a while: %d", w.Code)
		}
	})
}

// Whatever is asked, the answer is JSON of the one shape, and never a server error.
func FuzzConfiguration(f *testing.F) {
	f.Add(obs())
	f.Add(sdk())
	f.Add(`{"service":"IVS","preferences":{"canvases":[{"width":-1,"framerate":{"numerator":0}}]}}`)
	h := testHandler(&fakeRows{channel: testChannel()})
	f.Fuzz(func(t *testing.T, body string) {
		h.limiter.full = nil
		w := ask(h, http.MethodPost, ConfigurationPath, body)
		var got response
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code >= 500 {
			t.Fatalf("%d %s: %v", w.Code, w.Body, err)
		}
		if len(got.Encoders) > mostTracks {
			t.Errorf("%d encoders", len(got.Encoders))
		}
		for _, e := range got.Encoders {
			if e.Width < 2 || e.Height < 2 || e.Width%2+e.Height%2 != 0 || e.Settings.BitRate < 1 {
				t.Errorf("encoder %+v", e)
			}
		}
	})
}
