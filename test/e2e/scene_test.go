package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"
	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite" // reads the server's database, beside it

	"github.com/sluice-live/sluice/internal/apigen/apitest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/servertest"
)

// A scene is what the requests of one operation meet: in a region of its own, one
// resource of each kind. Derived requests name resources by the least ARN that the
// model allows; cast puts the scene's in their place.
type scene struct {
	srv    *servertest.Server
	ivs    *ivs.Client
	region string
	op     string
	arns   map[string]string // by type
}

func newScene(t *testing.T, srv *servertest.Server, region, op string) *scene {
	t.Helper()
	s := &scene{srv: srv, ivs: client(srv.Base, region, admin(srv)), region: region, op: op, arns: map[string]string{}}
	for _, typ := range []string{
		live.TypeChannel, live.TypeRecordingConfiguration, live.TypePlaybackKey, live.TypePlaybackRestrictionPolicy, live.TypeAdConfiguration,
	} {
		s.add(t, typ)
	}
	if op == "GetStreamSession" || op == "ListStreamSessions" {
		s.record(t)
	}
	return s
}

// add makes a resource and puts it in the place of the last of its type.
func (s *scene) add(t *testing.T, typ string) {
	t.Helper()
	var (
		ctx = t.Context()
		arn *string
		err error
	)
	switch typ {
	case live.TypeChannel:
		var out *ivs.CreateChannelOutput
		if out, err = s.ivs.CreateChannel(ctx, &ivs.CreateChannelInput{Authorized: true}); err == nil {
			arn, s.arns[live.TypeStreamKey] = out.Channel.Arn, *out.StreamKey.Arn
		}
	case live.TypeRecordingConfiguration:
		var out *ivs.CreateRecordingConfigurationOutput
		if out, err = s.ivs.CreateRecordingConfiguration(ctx, &ivs.CreateRecordingConfigurationInput{
			DestinationConfiguration: &types.DestinationConfiguration{S3: &types.S3DestinationConfiguration{BucketName: aws.String("scene")}},
		}); err == nil {
			arn = out.RecordingConfiguration.Arn
		}
	case live.TypePlaybackKey:
		var out *ivs.ImportPlaybackKeyPairOutput
		if out, err = s.ivs.ImportPlaybackKeyPair(ctx, &ivs.ImportPlaybackKeyPairInput{PublicKeyMaterial: aws.String(newPublicKey(t))}); err == nil {
			arn = out.KeyPair.Arn
		}
	case live.TypePlaybackRestrictionPolicy:
		var out *ivs.CreatePlaybackRestrictionPolicyOutput
		if out, err = s.ivs.CreatePlaybackRestrictionPolicy(ctx, &ivs.CreatePlaybackRestrictionPolicyInput{}); err == nil {
			arn = out.PlaybackRestrictionPolicy.Arn
		}
	case live.TypeAdConfiguration:
		var out *ivs.CreateAdConfigurationOutput
		if out, err = s.ivs.CreateAdConfiguration(ctx, &ivs.CreateAdConfigurationInput{
			MediaTailorPlaybackConfigurations: []types.MediaTailorPlaybackConfiguration{{PlaybackConfigurationArn: aws.String(s.tailor())}},
		}); err == nil {
			arn = out.AdConfiguration.Arn
		}
	}
	if err != nil {
		t.Fatalf("a %s for %s: %v", typ, s.op, err)
	}
	s.arns[typ] = *arn
}

// tailor is a MediaTailor configuration of the caller's account.
func (s *scene) tailor() string {
	return "arn:aws:mediatailor:" + s.region + ":" + s.srv.Account + ":playbackConfiguration/scene"
}

// record notes that the channel was live once.
func (s *scene) record(t *testing.T) {
	t.Helper()
	st := openStore(t, s.srv.Dir)
	arn, err := live.ParseARN(s.arns[live.TypeChannel])
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	l, err := st.Acquire(t.Context(), arn.String(), "scene", "", now, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	x := live.Session{
		ID: sceneStream(s.op), Channel: arn, Node: "scene", Generation: l.Generation, Created: now, Started: now, Ended: now,
		Snapshot: live.Channel{ARN: arn, Type: live.TypeStandard, LatencyMode: "LOW", ContainerFormat: live.ContainerTS},
		Ingest:   live.Ingest{Protocol: "RTMP", Video: []live.IngestVideo{{Codec: "avc1.4D4028"}}, Audio: []live.IngestAudio{{Codec: "mp4a.40.2"}}},
	}
	if err := st.CreateSession(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	if err := st.Release(t.Context(), l); err != nil {
		t.Fatal(err)
	}
}

// sceneStream is the id of the stream that a scene's channel had: the one that derived
// requests name, where they name one.
func sceneStream(op string) string {
	if op == "GetStreamSession" {
		return "st-" + strings.Repeat("a", 23)
	}
	return "st-" + strings.Repeat("b", 23)
}

// cast is x with what is here in place of what is not.
func (s *scene) cast(t *testing.T, x apitest.Case) apitest.Case {
	t.Helper()
	quoted := func(v string) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for typ, arn := range s.arns {
		least := "arn:aws:ivs:us-west-2:1:" + typ + "/a"
		x.Body = strings.ReplaceAll(x.Body, quoted(least), quoted(arn))
		if path, query, _ := strings.Cut(x.Target, "?"); strings.HasSuffix(path, url.PathEscape(least)) {
			x.Target = strings.TrimSuffix(path, url.PathEscape(least)) + url.PathEscape(arn) + "?" + query
		}
	}
	tailor := `{"playbackConfigurationArn":` + quoted(s.tailor()) + `}`
	pairs := []string{
		`"arn:aws:mediatailor:us-west-2:1:playbackConfiguration/a"`, quoted(s.tailor()),
		`"destinationConfiguration":{}`, `"destinationConfiguration":{"s3":{"bucketName":"scene"}}`,
		`[{}`, `[` + tailor, `,{}`, `,` + tailor, // only MediaTailor configurations are structures without a required member in a list
	}
	if s.op == "ImportPlaybackKeyPair" {
		pairs = append(pairs, `"publicKeyMaterial":"é"`, `"publicKeyMaterial":`+quoted(newPublicKey(t)))
	}
	x.Body = strings.NewReplacer(pairs...).Replace(x.Body)
	return x
}

// spent is what the success of an operation uses up.
var spent = map[string]string{
	"DeleteAdConfiguration":           live.TypeAdConfiguration,
	"DeleteChannel":                   live.TypeChannel,
	"DeletePlaybackKeyPair":           live.TypePlaybackKey,
	"DeletePlaybackRestrictionPolicy": live.TypePlaybackRestrictionPolicy,
	"DeleteRecordingConfiguration":    live.TypeRecordingConfiguration,
	"DeleteStreamKey":                 live.TypeChannel,
	"TagResource":                     live.TypeChannel, // it has room for 50 tags
	"UpdateChannel":                   live.TypeChannel, // settings stay
}

// reset makes the operation possible after it succeeded.
func (s *scene) reset(t *testing.T) {
	t.Helper()
	if typ := spent[s.op]; typ != "" {
		s.add(t, typ)
	}
	switch s.op {
	case "CreateStreamKey": // a channel has room for one
		out, err := s.ivs.ListStreamKeys(t.Context(), &ivs.ListStreamKeysInput{ChannelArn: aws.String(s.arns[live.TypeChannel])})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range out.StreamKeys {
			if _, err := s.ivs.DeleteStreamKey(t.Context(), &ivs.DeleteStreamKeyInput{Arn: k.Arn}); err != nil {
				t.Fatal(err)
			}
		}
	case "ImportPlaybackKeyPair": // a region has room for three
		out, err := s.ivs.ListPlaybackKeyPairs(t.Context(), &ivs.ListPlaybackKeyPairsInput{})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range out.KeyPairs {
			if _, err := s.ivs.DeletePlaybackKeyPair(t.Context(), &ivs.DeletePlaybackKeyPairInput{Arn: k.Arn}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// newPublicKey is the public half of a new key for playback tokens, in PEM.
func newPublicKey(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// A rowWatcher reads all that a server's database holds but its leases, which every
// write to a channel takes, even one that is then refused.
type rowWatcher struct {
	db     *sql.DB
	tables []string
}

func watchRows(t *testing.T, dir string) *rowWatcher {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "sluice.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // it only read
	w := &rowWatcher{db: db}
	for _, row := range w.query(t, `SELECT name FROM sqlite_master WHERE type = 'table'`) {
		if row != "lease" && row != "goose_db_version" && !strings.HasPrefix(row, "sqlite_") {
			w.tables = append(w.tables, row)
		}
	}
	if !slices.Contains(w.tables, "resource") {
		t.Fatalf("tables %v, want resource among them", w.tables)
	}
	return w
}

// query returns rows as text.
func (w *rowWatcher) query(t *testing.T, q string) (lines []string) {
	t.Helper()
	rows, err := w.db.QueryContext(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		cells := make([]string, len(names))
		for i, v := range values {
			if b, ok := v.([]byte); ok {
				v = string(b)
			}
			cells[i] = fmt.Sprint(v)
		}
		lines = append(lines, strings.Join(cells, " | "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func (w *rowWatcher) dump(t *testing.T) (lines []string) {
	t.Helper()
	for _, table := range w.tables {
		for _, row := range w.query(t, `SELECT * FROM `+table) {
			lines = append(lines, table+": "+row)
		}
	}
	slices.Sort(lines)
	return lines
}

// settled waits until the server has nothing to do by itself, and returns the rows.
func (w *rowWatcher) settled(t *testing.T) (lines []string) {
	t.Helper()
	servertest.Eventually(t, "no recording configuration waits for its bucket", func() bool {
		lines = w.dump(t)
		return !slices.ContainsFunc(lines, func(s string) bool { return strings.Contains(s, live.RecordingCreating) })
	})
	return lines
}

// same fails the test if the rows are not what they were, and returns what they are.
func (w *rowWatcher) same(t *testing.T, what string, before []string) []string {
	t.Helper()
	now := w.dump(t)
	if !slices.Equal(before, now) {
		t.Errorf("%s: rows changed:\n%s", what, cmp.Diff(before, now))
	}
	return now
}
