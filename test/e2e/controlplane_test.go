package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-live/sluice/internal/blob"
	"github.com/sluice-live/sluice/internal/blob/blobtest"
	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/servertest"
)

// playbackKey makes a public key as openssl writes it.
func playbackKey(t testing.TB, curve elliptic.Curve) string {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestSDKPlaybackKeyPairs(t *testing.T) {
	t.Parallel()
	c := servertest.Start(t).IVS()
	material := playbackKey(t, elliptic.P384())
	made, err := c.ImportPlaybackKeyPair(t.Context(), &ivs.ImportPlaybackKeyPairInput{
		PublicKeyMaterial: &material, Name: aws.String("viewers"), Tags: map[string]string{"a": "b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.GetPlaybackKeyPair(t.Context(), &ivs.GetPlaybackKeyPairInput{Arn: made.KeyPair.Arn})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(made.KeyPair, got.KeyPair, cmpopts.IgnoreUnexported(types.PlaybackKeyPair{})); d != "" || len(aws.ToString(got.KeyPair.Fingerprint)) != 47 {
		t.Errorf("GetPlaybackKeyPair differs from import, or its fingerprint is none: %s", d)
	}
	_, err = c.ImportPlaybackKeyPair(t.Context(), &ivs.ImportPlaybackKeyPairInput{PublicKeyMaterial: &material})
	wantErr[*types.ConflictException](t, "the same key again", err, 409)
	_, err = c.ImportPlaybackKeyPair(t.Context(), &ivs.ImportPlaybackKeyPairInput{PublicKeyMaterial: aws.String(playbackKey(t, elliptic.P256()))})
	wantErr[*types.ValidationException](t, "a key of P-256", err, 400)
	for range 2 {
		if _, err := c.ImportPlaybackKeyPair(t.Context(), &ivs.ImportPlaybackKeyPairInput{PublicKeyMaterial: aws.String(playbackKey(t, elliptic.P384()))}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.ImportPlaybackKeyPair(t.Context(), &ivs.ImportPlaybackKeyPairInput{PublicKeyMaterial: aws.String(playbackKey(t, elliptic.P384()))})
	wantErr[*types.ServiceQuotaExceededException](t, "a fourth key", err, 402)
	list, n := pages(t, ivs.NewListPlaybackKeyPairsPaginator(c, &ivs.ListPlaybackKeyPairsInput{MaxResults: aws.Int32(2)}),
		func(o *ivs.ListPlaybackKeyPairsOutput) []types.PlaybackKeyPairSummary { return o.KeyPairs })
	if len(list) != 3 || n != 2 {
		t.Errorf("3 keys by 2 a page: %d keys on %d pages", len(list), n)
	}
	if _, err := c.DeletePlaybackKeyPair(t.Context(), &ivs.DeletePlaybackKeyPairInput{Arn: made.KeyPair.Arn}); err != nil {
		t.Error(err)
	}
	_, err = c.DeletePlaybackKeyPair(t.Context(), &ivs.DeletePlaybackKeyPairInput{Arn: made.KeyPair.Arn})
	wantErr[*types.ResourceNotFoundException](t, "second delete", err, 404)
}

// A channel with everything that can be attached, from the first resource to the last.
func TestSDKAttachments(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	c := srv.IVS()
	rc, err := c.CreateRecordingConfiguration(t.Context(), &ivs.CreateRecordingConfigurationInput{
		DestinationConfiguration: &types.DestinationConfiguration{S3: &types.S3DestinationConfiguration{BucketName: aws.String("my-archive")}},
		Name:                     aws.String("archive"), RecordingReconnectWindowSeconds: 60,
		ThumbnailConfiguration: &types.ThumbnailConfiguration{TargetIntervalSeconds: aws.Int64(5), Resolution: types.ThumbnailConfigurationResolutionHd},
		RenditionConfiguration: &types.RenditionConfiguration{
			RenditionSelection: types.RenditionConfigurationRenditionSelectionCustom,
			Renditions:         []types.RenditionConfigurationRendition{types.RenditionConfigurationRenditionHd},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := rc.RecordingConfiguration.State; s != types.RecordingConfigurationStateCreating {
		t.Errorf("a new recording configuration is %s", s)
	}
	servertest.Eventually(t, "the recording configuration is active", func() bool {
		got, err := c.GetRecordingConfiguration(t.Context(), &ivs.GetRecordingConfigurationInput{Arn: rc.RecordingConfiguration.Arn})
		if err != nil {
			t.Fatal(err)
		}
		want := *rc.RecordingConfiguration
		want.State = got.RecordingConfiguration.State
		if d := cmp.Diff(&want, got.RecordingConfiguration, cmpopts.IgnoreUnexported(
			types.RecordingConfiguration{}, types.DestinationConfiguration{}, types.S3DestinationConfiguration{},
			types.ThumbnailConfiguration{}, types.RenditionConfiguration{},
		)); d != "" {
			t.Fatalf("more than the state changes: -want +got\n%s", d)
		}
		return got.RecordingConfiguration.State == types.RecordingConfigurationStateActive
	})
	if fi, err := os.Stat(filepath.Join(srv.Dir, "blob", "my-archive")); err != nil || !fi.IsDir() {
		t.Errorf("the directory has no bucket: %v", err)
	}
	policy, err := c.CreatePlaybackRestrictionPolicy(t.Context(), &ivs.CreatePlaybackRestrictionPolicyInput{
		AllowedCountries: []string{"SE", "NO"}, AllowedOrigins: []string{"https://watch.example.org", "https://*.example.net"},
		EnableStrictOriginEnforcement: aws.Bool(true), Name: aws.String("nordics"),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.CreatePlaybackRestrictionPolicy(t.Context(), &ivs.CreatePlaybackRestrictionPolicyInput{AllowedCountries: []string{"XX"}})
	wantErr[*types.ValidationException](t, "a country that is none", err, 400)
	long := "https://" + strings.Repeat("a.", 122) + "abcd" // of 256 characters
	changed, err := c.UpdatePlaybackRestrictionPolicy(t.Context(), &ivs.UpdatePlaybackRestrictionPolicyInput{
		Arn: policy.PlaybackRestrictionPolicy.Arn, AllowedOrigins: []string{long},
	})
	if err != nil {
		t.Fatal(err)
	}
	if p := changed.PlaybackRestrictionPolicy; !slices.Equal(p.AllowedCountries, []string{"SE", "NO"}) || !slices.Equal(p.AllowedOrigins, []string{long}) || *p.Name != "nordics" {
		t.Errorf("policy after an update of its origins: %+v", p)
	}
	tailor := aws.String("arn:aws:mediatailor:us-west-2:123456789012:playbackConfiguration/ads")
	ads, err := c.CreateAdConfiguration(t.Context(), &ivs.CreateAdConfigurationInput{
		MediaTailorPlaybackConfigurations: []types.MediaTailorPlaybackConfiguration{{PlaybackConfigurationArn: tailor}},
	})
	if err != nil {
		t.Fatal(err)
	}

	rcARN, policyARN, adsARN := rc.RecordingConfiguration.Arn, policy.PlaybackRestrictionPolicy.Arn, ads.AdConfiguration.Arn
	ch := srv.NewChannel(t, func(in *ivs.CreateChannelInput) {
		in.RecordingConfigurationArn, in.PlaybackRestrictionPolicyArn, in.AdConfigurationArn = rcARN, policyARN, adsARN
	})
	srv.NewChannel(t)
	for name, in := range map[string]*ivs.ListChannelsInput{
		"recording configuration": {FilterByRecordingConfigurationArn: rcARN},
		"restriction policy":      {FilterByPlaybackRestrictionPolicyArn: policyARN},
		"ad configuration":        {FilterByAdConfigurationArn: adsARN},
	} {
		if out, err := c.ListChannels(t.Context(), in); err != nil || len(out.Channels) != 1 || *out.Channels[0].Arn != *ch.Arn {
			t.Errorf("channels by %s: %+v, %v", name, out, err)
		}
	}
	remove := func() (errs [3]error) {
		_, errs[0] = c.DeleteRecordingConfiguration(t.Context(), &ivs.DeleteRecordingConfigurationInput{Arn: rcARN})
		_, errs[1] = c.DeletePlaybackRestrictionPolicy(t.Context(), &ivs.DeletePlaybackRestrictionPolicyInput{Arn: policyARN})
		_, errs[2] = c.DeleteAdConfiguration(t.Context(), &ivs.DeleteAdConfigurationInput{Arn: adsARN})
		return errs
	}
	for _, err := range remove() {
		wantErr[*types.ConflictException](t, "delete while attached", err, 409)
	}
	detached, err := c.UpdateChannel(t.Context(), &ivs.UpdateChannelInput{
		Arn: ch.Arn, RecordingConfigurationArn: aws.String(""), PlaybackRestrictionPolicyArn: aws.String(""), AdConfigurationArn: aws.String(""),
	})
	if err != nil || *detached.Channel.RecordingConfigurationArn+*detached.Channel.PlaybackRestrictionPolicyArn+*detached.Channel.AdConfigurationArn != "" {
		t.Fatalf("detach: %+v, %v", detached, err)
	}
	for _, err := range remove() {
		if err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	for _, err := range remove() {
		wantErr[*types.ResourceNotFoundException](t, "second delete", err, 404)
	}
	_, err = c.UpdateChannel(t.Context(), &ivs.UpdateChannelInput{Arn: ch.Arn, RecordingConfigurationArn: rcARN})
	wantErr[*types.ResourceNotFoundException](t, "attaching what was deleted", err, 404)
}

// The SDK is older than this operation.
func TestUpdateAdConfiguration(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	type configuration struct {
		ARN                               string `json:"arn"`
		Name                              string `json:"name"`
		MediaTailorPlaybackConfigurations []map[string]string
		PostRollConfiguration             struct {
			Enabled         bool
			DurationSeconds int
		}
	}
	post := func(path, body string) configuration {
		t.Helper()
		a := send(t, call{path: path, body: []byte(body)}.sign(t, srv, admin(srv)))
		var out struct{ AdConfiguration configuration }
		if err := json.Unmarshal(a.body, &out); err != nil || a.status != http.StatusOK {
			t.Fatalf("%s: %d %s, %v", path, a.status, a.body, err)
		}
		return out.AdConfiguration
	}
	want := post("/CreateAdConfiguration", `{"name":"a","mediaTailorPlaybackConfigurations":[{"playbackConfigurationArn":"arn:aws:mediatailor:us-west-2:123456789012:playbackConfiguration/a"}]}`)
	if p := want.PostRollConfiguration; p.Enabled || p.DurationSeconds != 15 {
		t.Errorf("post-roll by default: %+v", p)
	}
	got := post("/UpdateAdConfiguration", `{"arn":"`+want.ARN+`","postRollConfiguration":{"enabled":true,"durationSeconds":30}}`)
	want.PostRollConfiguration.Enabled, want.PostRollConfiguration.DurationSeconds = true, 30
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	a := send(t, call{path: "/UpdateAdConfiguration", body: []byte(`{"arn":"` + want.ARN + `","postRollConfiguration":{"enabled":true}}`)}.sign(t, srv, admin(srv)))
	if a.status != http.StatusBadRequest || a.exception() != "ValidationException" {
		t.Errorf("a post-roll without its length: %d %s %s", a.status, a.exception(), a.body)
	}
}

func TestRecordingConfigurationNeedsItsBucketOnS3(t *testing.T) {
	url := blobtest.StartS3(t, "default")
	s3, err := blob.Open(t.Context(), url, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s3.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s3.CreateBucket(t.Context(), "archive"); err != nil {
		t.Fatal(err)
	}
	c := servertest.Start(t, func(cfg *config.Config) { cfg.Blob = url }).IVS()
	for bucket, want := range map[string]types.RecordingConfigurationState{
		"archive": types.RecordingConfigurationStateActive, "missing": types.RecordingConfigurationStateCreateFailed,
	} {
		out, err := c.CreateRecordingConfiguration(t.Context(), &ivs.CreateRecordingConfigurationInput{
			DestinationConfiguration: &types.DestinationConfiguration{S3: &types.S3DestinationConfiguration{BucketName: &bucket}},
		})
		if err != nil {
			t.Fatal(err)
		}
		servertest.Eventually(t, "bucket "+bucket+" is looked for", func() bool {
			got, err := c.GetRecordingConfiguration(t.Context(), &ivs.GetRecordingConfigurationInput{Arn: out.RecordingConfiguration.Arn})
			if err != nil {
				t.Fatal(err)
			}
			s := got.RecordingConfiguration.State
			if s != types.RecordingConfigurationStateCreating && s != want {
				t.Fatalf("state with bucket %s is %s, want %s", bucket, s, want)
			}
			return s == want
		})
	}
}

// A killed node leaves no configuration in CREATING.
func TestKillLeavesNoRecordingConfigurationBehind(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	srv := serve(t, dir)
	c := srv.IVS()
	var arns []string
	for range 20 {
		out, err := c.CreateRecordingConfiguration(t.Context(), &ivs.CreateRecordingConfigurationInput{
			DestinationConfiguration: &types.DestinationConfiguration{S3: &types.S3DestinationConfiguration{BucketName: aws.String("archive")}},
		})
		if err != nil {
			t.Fatal(err)
		}
		arns = append(arns, *out.RecordingConfiguration.Arn)
	}
	srv.kill(t)
	c = serve(t, dir).IVS()
	servertest.Eventually(t, "all are active", func() bool {
		out, err := c.ListRecordingConfigurations(t.Context(), &ivs.ListRecordingConfigurationsInput{})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.RecordingConfigurations) != len(arns) {
			t.Fatalf("%d configurations after the crash, want %d", len(out.RecordingConfigurations), len(arns))
		}
		return !slices.ContainsFunc(out.RecordingConfigurations, func(r types.RecordingConfigurationSummary) bool {
			return r.State != types.RecordingConfigurationStateActive
		})
	})
}

func TestSDKStreamSessions(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	c := srv.IVS()
	rc, err := c.CreateRecordingConfiguration(t.Context(), &ivs.CreateRecordingConfigurationInput{
		DestinationConfiguration: &types.DestinationConfiguration{S3: &types.S3DestinationConfiguration{BucketName: aws.String("archive")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ch := srv.NewChannel(t, func(in *ivs.CreateChannelInput) { in.RecordingConfigurationArn = rc.RecordingConfiguration.Arn })
	_, err = c.GetStreamSession(t.Context(), &ivs.GetStreamSessionInput{ChannelArn: ch.Arn})
	wantErr[*types.ResourceNotFoundException](t, "GetStreamSession of a channel that was never live", err, 404)

	e := broadcast(t, srv.RTMPURL(ch))
	id := streamID(t, c, ch)
	session := func() *types.StreamSession {
		t.Helper()
		out, err := c.GetStreamSession(t.Context(), &ivs.GetStreamSessionInput{ChannelArn: ch.Arn})
		if err != nil {
			t.Fatal(err)
		}
		return out.StreamSession
	}
	var s *types.StreamSession
	servertest.Eventually(t, "the session tells what is sent", func() bool { s = session(); return s.IngestConfigurations != nil })
	if *s.StreamId != id || s.EndTime != nil || s.StartTime == nil {
		t.Errorf("a session that runs: %s from %v to %v, want %s", *s.StreamId, s.StartTime, s.EndTime, id)
	}
	if *s.Channel.Arn != *ch.Arn || *s.Channel.PlaybackUrl != *ch.PlaybackUrl {
		t.Errorf("channel of the session: %+v", s.Channel)
	}
	if s.RecordingConfiguration == nil || *s.RecordingConfiguration.Arn != *rc.RecordingConfiguration.Arn {
		t.Errorf("recording configuration of the session: %+v", s.RecordingConfiguration)
	}
	v, a := s.IngestConfiguration.Video, s.IngestConfiguration.Audio
	if v.VideoWidth != 320 || v.VideoHeight != 180 || aws.ToString(v.Track) != "Track0" || aws.ToString(v.AvcProfile) == "" || *v.AvcProfile != *v.Profile ||
		!strings.HasPrefix(*v.Codec, "avc1.") || *a.Codec != "mp4a.40.2" || a.SampleRate == 0 {
		t.Errorf("ingestConfiguration = %+v, %+v", *v, *a)
	}
	if all := s.IngestConfigurations.VideoConfigurations; len(all) != 1 || aws.ToString(all[0].AvcProfile) != "" || aws.ToString(all[0].Profile) != *v.Profile {
		t.Errorf("videoConfigurations = %+v", all)
	}

	e.finish()
	servertest.Eventually(t, "the session has ended", func() bool { s = session(); return s.EndTime != nil && len(s.TruncatedEvents) >= 4 })
	var names []string
	for _, ev := range s.TruncatedEvents {
		names = append(names, *ev.Name)
	}
	if want := []string{"Stream End", "Session Ended", "Stream Start", "Session Created"}; !slices.Equal(names, want) {
		t.Errorf("events %q, want %q", names, want)
	}
	list := func() []types.StreamSessionSummary {
		t.Helper()
		out, err := c.ListStreamSessions(t.Context(), &ivs.ListStreamSessionsInput{ChannelArn: ch.Arn})
		if err != nil {
			t.Fatal(err)
		}
		return out.StreamSessions
	}
	if all := list(); len(all) != 1 || *all[0].StreamId != id || all[0].HasErrorEvent || !all[0].EndTime.Equal(*s.EndTime) {
		t.Errorf("ListStreamSessions = %+v", all)
	}
	servertest.Eventually(t, "the channel can be deleted", func() bool {
		_, err := c.DeleteChannel(t.Context(), &ivs.DeleteChannelInput{Arn: ch.Arn})
		return err == nil
	})
	if all := list(); len(all) != 1 || *session().StreamId != id {
		t.Errorf("%d sessions of a deleted channel, want 1", len(all))
	}
}

func TestSDKViewerSessionRevocation(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	c := srv.IVS()
	private := srv.NewChannel(t, func(in *ivs.CreateChannelInput) { in.Authorized = true })
	public := srv.NewChannel(t)
	_, err := c.StartViewerSessionRevocation(t.Context(), &ivs.StartViewerSessionRevocationInput{ChannelArn: private.Arn, ViewerId: aws.String("ann")})
	if err != nil {
		t.Error(err)
	}
	_, err = c.StartViewerSessionRevocation(t.Context(), &ivs.StartViewerSessionRevocationInput{ChannelArn: public.Arn, ViewerId: aws.String("ann")})
	wantErr[*types.ValidationException](t, "revocation on a public channel", err, 400)
	foreign := aws.String(strings.Replace(*private.Arn, ":123456789012:", ":999999999999:", 1))
	_, err = c.StartViewerSessionRevocation(t.Context(), &ivs.StartViewerSessionRevocationInput{ChannelArn: foreign, ViewerId: aws.String("ann")})
	wantErr[*types.ResourceNotFoundException](t, "revocation on somebody's channel", err, 404)

	out, err := c.BatchStartViewerSessionRevocation(t.Context(), &ivs.BatchStartViewerSessionRevocationInput{
		ViewerSessions: []types.BatchStartViewerSessionRevocationViewerSession{
			{ChannelArn: private.Arn, ViewerId: aws.String("bob"), ViewerSessionVersionsLessThanOrEqualTo: 7},
			{ChannelArn: foreign, ViewerId: aws.String("bob")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []types.BatchStartViewerSessionRevocationError{
		{ChannelArn: foreign, ViewerId: aws.String("bob"), Code: aws.String("403"), Message: aws.String("not authorized")},
	}
	if d := cmp.Diff(want, out.Errors, cmpopts.IgnoreUnexported(types.BatchStartViewerSessionRevocationError{})); d != "" {
		t.Errorf("errors of the batch: -want +got\n%s", d)
	}
}
