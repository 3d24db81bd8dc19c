package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"
	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/playback"
	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/testmedia"
	"github.com/sluice-live/sluice/test/e2e/browser"
)

// private makes NewChannel's channel one that asks for tokens.
func private(in *ivs.CreateChannelInput) { in.Authorized = true }

// keyPair makes a key pair.
func keyPair(t testing.TB) (key *ecdsa.PrivateKey, public string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// signer makes a key pair whose public half the server knows.
func signer(t testing.TB, client *ivs.Client) *ecdsa.PrivateKey {
	t.Helper()
	key, public := keyPair(t)
	if _, err := client.ImportPlaybackKeyPair(t.Context(), &ivs.ImportPlaybackKeyPairInput{PublicKeyMaterial: &public}); err != nil {
		t.Fatal(err)
	}
	return key
}

// withToken is the channel's playback URL with a token that is good for five minutes,
// changed by with.
func withToken(t testing.TB, key *ecdsa.PrivateKey, ch servertest.Channel, with ...func(*playback.Claims)) string {
	t.Helper()
	arn, err := live.ParseARN(*ch.Arn)
	if err != nil {
		t.Fatal(err)
	}
	c := playback.Claims{Channel: arn, Expires: time.Now().Add(5 * time.Minute).Unix()}
	for _, f := range with {
		f(&c)
	}
	token, err := playback.Sign(key, c, time.Unix(0, 0).Add(time.Duration(c.Expires-60)*time.Second)) // also one that is over
	if err != nil {
		t.Fatal(err)
	}
	return *ch.PlaybackUrl + "?token=" + token
}

// encodePrivate publishes to a private channel, as encode does to a public one.
func encodePrivate(t testing.TB, s *servertest.Server, ch servertest.Channel, key *ecdsa.PrivateKey) {
	t.Helper()
	publishClock(t, s, ch)
	servertest.Eventually(t, "the private channel plays", func() bool {
		status, _, _ := servertest.Get(t, withToken(t, key, ch))
		return status == http.StatusOK
	})
}

// sweden is a database of countries by which this machine is in Sweden.
func sweden(t testing.TB) string {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "GeoLite2-Country", IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	_, loopback, err := net.ParseCIDR("127.0.0.0/8")
	if err == nil {
		err = tree.Insert(loopback, mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String("SE")}})
	}
	var db bytes.Buffer
	if err == nil {
		_, err = tree.WriteTo(&db)
	}
	name := filepath.Join(t.TempDir(), "countries.mmdb")
	if err == nil {
		err = os.WriteFile(name, db.Bytes(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// What the players of the field make of a private channel and of a policy: a good token
// plays, and each way to be refused is told as documented (clients.md A.10).
func TestPlayersOfPrivateChannels(t *testing.T) {
	s := servertest.Start(t, func(c *config.Config) { c.GeoIP = sweden(t) })
	key := signer(t, s.IVS())
	stranger, _ := keyPair(t)
	ch := s.NewChannel(t, private)
	encodePrivate(t, s, ch, key)
	policy, err := s.IVS().CreatePlaybackRestrictionPolicy(t.Context(), &ivs.CreatePlaybackRestrictionPolicyInput{AllowedCountries: []string{"NO", "DK"}})
	if err != nil {
		t.Fatal(err)
	}
	abroad := s.NewChannel(t, func(in *ivs.CreateChannelInput) {
		in.PlaybackRestrictionPolicyArn = policy.PlaybackRestrictionPolicy.Arn
	})
	encoder := testmedia.Publish(t, testmedia.Source{URL: s.RTMPURL(abroad), Width: 256, Height: 144, FPS: 10, BitRate: 100_000}) // until the test ends
	t.Cleanup(func() { _ = encoder.Stop() })
	servertest.Eventually(t, "the restricted channel refuses us", func() bool {
		status, _, _ := servertest.Get(t, *abroad.PlaybackUrl)
		return status == http.StatusForbidden
	})

	page := browser.NewPage(t)
	strict := func(c *playback.Claims) { c.Origins, c.Strict = []string{page.Origin}, true }
	once := func(c *playback.Claims) { c.SingleUse = live.NewUUID() }
	expired := func(c *playback.Claims) { c.Expires = time.Now().Add(-time.Second).Unix() }
	elsewhere := func(c *playback.Claims) { c.Origins = []string{"https://watch.example.org"} }
	other := func(c *playback.Claims) { c.Channel.ID = "AAAAAAAAAAAA" }
	used := withToken(t, key, ch, once)
	if status, _, _ := servertest.Get(t, used); status != http.StatusOK {
		t.Fatalf("the first use of a token is answered %d", status)
	}

	const auth, geo = 7, 1 // what the IVS player calls invalid_playback_auth_token and content_geoblocked
	for _, player := range []string{browser.IVS, browser.HLSJS} {
		for name, tt := range map[string]struct {
			url  string
			page *browser.Page
			code int // of the IVS player; 0 when it plays
		}{
			"a good token":                    {url: withToken(t, key, ch)},
			"one use, the first":              {url: withToken(t, key, ch, once)},
			"strict, from the page it names":  {url: withToken(t, key, ch, strict), page: page},
			"no token":                        {url: *ch.PlaybackUrl, code: auth},
			"expired":                         {url: withToken(t, key, ch, expired), code: auth},
			"of another channel":              {url: withToken(t, key, ch, other), code: auth},
			"by another key":                  {url: withToken(t, stranger, ch), code: auth},
			"one use, the second":             {url: used, code: auth},
			"for another page":                {url: withToken(t, key, ch, elsewhere), code: auth},
			"strict, media from another page": {url: variantFrom(t, withToken(t, key, ch, strict), page.Origin), code: auth},
			"the wrong country":               {url: *abroad.PlaybackUrl, code: geo},
		} {
			t.Run(player+"/"+name, func(t *testing.T) {
				if tt.code != 0 {
					t.Parallel() // it takes little time of the machine
				}
				o := browser.Options{Player: player, URL: tt.url, Page: tt.page, Seconds: 2}
				if tt.code != 0 {
					o.Until = "error"
				}
				r := browser.Play(t, o)
				if tt.code == 0 {
					if r.StartMs == nil || len(r.Errors) > 0 || r.Frames.Presented < 15 {
						t.Errorf("%s", r)
					}
					return
				}
				fatal := slices.IndexFunc(r.Errors, func(f browser.Fault) bool { return f.Fatal })
				if fatal < 0 || r.StartMs != nil {
					t.Fatalf("started %v, errors %+v, want a fatal one", r.StartMs, r.Errors)
				}
				want := browser.Fault{Type: "networkError", Source: "manifestLoadError", Code: 403, Fatal: true}
				if player == browser.IVS {
					want = browser.Fault{Type: "ErrorAuthorization", Source: "MasterPlaylist", Code: tt.code, Message: map[int]string{
						auth: "invalid_playback_auth_token", geo: "content_geoblocked",
					}[tt.code], Fatal: true}
				}
				got := r.Errors[fatal]
				got.AtMs = 0
				if player == browser.HLSJS {
					got.Message = "" // its own words
				}
				if got != want {
					t.Errorf("the player reports %+v, want %+v", got, want)
				}
			})
		}
	}
	t.Run("watch page", func(t *testing.T) {
		token := strings.TrimPrefix(withToken(t, key, ch), *ch.PlaybackUrl)
		r := browser.Play(t, browser.Options{Player: browser.Watch, URL: s.Base + "/watch/" + *ch.Arn + token, Seconds: 2})
		if r.StartMs == nil || len(r.Errors) > 0 || len(r.External) > 0 {
			t.Errorf("with a token: %s", r)
		}
		r = browser.Play(t, browser.Options{Player: browser.Watch, URL: s.Base + "/watch/" + *ch.Arn, Until: "failed", Seconds: 1})
		if len(r.Errors) != 1 || r.Errors[0].Type != "Not allowed" || r.Errors[0].Code != 403 || r.Errors[0].Message != "invalid_playback_auth_token" {
			t.Errorf("without one: %+v, states %+v", r.Errors, r.States)
		}
	})
	for _, player := range []string{browser.IVS, browser.HLSJS} {
		t.Run(player+"/revoked while it plays", func(t *testing.T) {
			viewer := func(c *playback.Claims) { c.Viewer = player }
			started, revoked := make(chan struct{}), make(chan time.Time, 1)
			go func() {
				defer close(revoked)
				<-started
				<-time.After(2 * time.Second) // of playback
				in := &ivs.StartViewerSessionRevocationInput{ChannelArn: ch.Arn, ViewerId: aws.String(player)}
				if _, err := s.IVS().StartViewerSessionRevocation(t.Context(), in); err != nil {
					t.Error(err)
					return
				}
				revoked <- time.Now()
			}()
			r := browser.Play(t, browser.Options{
				Player: player, URL: withToken(t, key, ch, viewer), Seconds: 20, Until: "error", Started: started,
			})
			at, ok := <-revoked
			if !ok || r.StartMs == nil || r.Frames.Presented < 15 {
				t.Fatalf("it did not play: %s", r)
			}
			if shown := time.UnixMilli(r.Frames.LastAt).Sub(at); shown > 5*time.Second {
				t.Errorf("pictures were shown for %v after the revocation", shown)
			} else {
				t.Logf("pictures were shown for %v after the revocation", shown)
			}
			if fatal := slices.IndexFunc(r.Errors, func(f browser.Fault) bool { return f.Fatal && f.Code == 403 }); fatal < 0 {
				t.Errorf("errors %+v, want a fatal 403", r.Errors)
			}
		})
	}
}

// variantFrom is the media playlist that a playback URL leads to when a page of an origin
// asks: with the session in it, which is what somebody could hand on.
func variantFrom(t testing.TB, playbackURL, origin string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, playbackURL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", origin)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	m, err := hls.ParseMultivariant(body.Bytes())
	if err != nil || len(m.Variants) != 1 {
		t.Fatalf("%d %s: %v", resp.StatusCode, &body, err)
	}
	return resolve(playbackURL, m.Variants[0].URI)
}

// A private channel on two nodes: a viewer at the wrong one is sent on with the token,
// one use is one on both, and a revocation at one ends a session at the other within two
// seconds.
func TestPrivateClusters(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a, b := c.join(t, dataDir(t)), c.join(t, dataDir(t))
	key := signer(t, a.IVS())
	ch := a.NewChannel(t, private)
	broadcast(t, b.RTMPURL(ch))
	viewer := func(version int64) func(*playback.Claims) {
		return func(c *playback.Claims) { c.Viewer, c.Version = "ann", version }
	}
	servertest.Eventually(t, "the channel plays through the node that does not own it", func() bool {
		status, _, _ := servertest.Get(t, withToken(t, key, ch)) // which follows the redirect
		return status == http.StatusOK
	})
	at := func(node *process, url string) string { return node.Base + strings.TrimPrefix(url, a.Base) }
	once := withToken(t, key, ch, func(c *playback.Claims) { c.SingleUse = live.NewUUID() })
	for i, want := range []int{http.StatusOK, http.StatusForbidden, http.StatusForbidden} {
		node := []*process{a, b, a}[i]
		if status, _, body := servertest.Get(t, at(node, once)); status != want {
			t.Errorf("use %d of a token for one: %d %s, want %d", i+1, status, body, want)
		}
	}
	out, in := watch(t, at(b, withToken(t, key, ch, viewer(1)))), watch(t, at(b, withToken(t, key, ch, viewer(2))))
	out.more(t, 1)
	in.more(t, 1)
	_, err := a.IVS().StartViewerSessionRevocation(t.Context(), &ivs.StartViewerSessionRevocationInput{
		ChannelArn: ch.Arn, ViewerId: aws.String("ann"), ViewerSessionVersionsLessThanOrEqualTo: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	revoked := time.Now()
	select {
	case <-out.done:
	case <-time.After(10 * time.Second):
		t.Fatal("the revoked viewer still watches")
	}
	if err := out.failure(); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("the revoked viewer: %v, want a 403", err)
	}
	t.Logf("a session at the other node ended %v after its revocation", time.Since(revoked))
	in.more(t, 3)
	if status, _, _ := servertest.Get(t, withToken(t, key, ch, viewer(1))); status != http.StatusForbidden {
		t.Errorf("the revoked viewer is let in again: %d", status)
	}
	batch, err := b.IVS().BatchStartViewerSessionRevocation(t.Context(), &ivs.BatchStartViewerSessionRevocationInput{
		ViewerSessions: []types.BatchStartViewerSessionRevocationViewerSession{
			{ChannelArn: ch.Arn, ViewerId: aws.String("ann"), ViewerSessionVersionsLessThanOrEqualTo: 2},
		},
	})
	if err != nil || len(batch.Errors) > 0 {
		t.Fatalf("%+v, %v", batch, err)
	}
	select {
	case <-in.done:
	case <-time.After(10 * time.Second):
		t.Fatal("the viewer revoked by a batch still watches")
	}
}

// Restarts forget no revocation and no use, and no token, session, key or viewer's name
// is in what the server says of itself, whatever a viewer does with a URL.
func TestPrivateSecrets(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s := serveTo(t, dir, log, "--log-level", "DEBUG")
	key := signer(t, s.IVS())
	ch := s.NewChannel(t, private)
	keyFile := filepath.Join(t.TempDir(), "key.pem")
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	const viewer = "viewer-4711"
	stdout, stderr, err := run(t, "token", "--key", keyFile, "--channel-arn", *ch.Arn, "--viewer-id", viewer, "--single-use",
		"--access-control-allow-origin", "https://watch.example.org", "--maximum-resolution", "FULL_HD", "--exp", "9m")
	if err != nil {
		t.Fatalf("sluice token: %v: %s", err, stderr)
	}
	token := strings.TrimSpace(stdout)
	e := broadcast(t, s.RTMPURL(ch))
	liveStream(t, s.IVS(), ch)

	status, _, body := servertest.Get(t, *ch.PlaybackUrl+"?token="+token)
	m, err := hls.ParseMultivariant(body)
	if status != http.StatusOK || err != nil {
		t.Fatalf("with the token of the command: %d %s, %v", status, body, err)
	}
	path := m.Variants[0].URI
	session := strings.Split(path, "/")[3]
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, target := range []string{
		path, path + "?token=" + token, "/" + path, "/x" + path, path + "/..", "/v1/live//" + session, "/" + session, "/watch/" + session,
		*ch.PlaybackUrl + "?token=" + token, *ch.PlaybackUrl + "%3Ftoken=" + token, "/" + token, "/watch/" + *ch.Arn + "?token=" + token,
		"/tags/" + session + "?tagKeys=" + token,
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
			req, err := http.NewRequestWithContext(ctx, method, s.Base+strings.TrimPrefix(target, s.Base), http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Referer", s.Base+path)
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
	}
	_, err = s.IVS().StartViewerSessionRevocation(t.Context(), &ivs.StartViewerSessionRevocationInput{ChannelArn: ch.Arn, ViewerId: aws.String(viewer)})
	if err != nil {
		t.Fatal(err)
	}
	_, _, metrics := servertest.Get(t, s.Base+"/metrics")
	e.finish()
	if err := s.terminate(); err != nil {
		t.Fatal(err)
	}

	again := serveTo(t, dir, log, "--log-level", "DEBUG")
	e = broadcast(t, again.RTMPURL(ch))
	liveStream(t, again.IVS(), ch)
	get := func(url string) (int, string) {
		status, _, body := servertest.Get(t, again.Base+strings.TrimPrefix(url, s.Base))
		return status, string(body)
	}
	sign := func(with func(*playback.Claims)) string {
		return strings.TrimPrefix(withToken(t, key, ch, with), s.Base)
	}
	for what, tt := range map[string]struct{ url, text string }{
		"the used token":     {strings.TrimPrefix(*ch.PlaybackUrl, s.Base) + "?token=" + token, "viewer session is revoked"},
		"the revoked viewer": {sign(func(c *playback.Claims) { c.Viewer = viewer }), "viewer session is revoked"},
	} {
		if status, body := get(tt.url); status != http.StatusForbidden || !strings.Contains(body, tt.text) {
			t.Errorf("%s after a restart: %d %s", what, status, body)
		}
	}
	if status, body := get(sign(func(c *playback.Claims) { c.Viewer, c.Version = viewer, 1 })); status != http.StatusOK {
		t.Errorf("a later version after a restart: %d %s", status, body)
	}
	if status, _ := get(path); status != http.StatusNotFound {
		t.Errorf("a session of a stream that is over: %d, want 404", status)
	}
	e.finish()
	if err := again.terminate(); err != nil {
		t.Fatal(err)
	}
	said, err := os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	var audit bytes.Buffer
	files, err := filepath.Glob(filepath.Join(dir, "audit", "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("audit files: %v, %v", files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		audit.Write(b)
	}
	secrets := map[string]string{
		"token": token, "its payload": strings.Split(token, ".")[1], "its signature": strings.Split(token, ".")[2],
		"session": session, "half of the session": session[3 : 3+len(session)/2],
	}
	for what, secret := range secrets {
		for where, text := range map[string]string{"log": string(said), "metrics": string(metrics), "audit log": audit.String()} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s is in the %s", what, where)
			}
		}
	}
	if strings.Contains(string(said), viewer) || strings.Contains(string(metrics), viewer) {
		t.Error("the viewer's name is in the log or the metrics")
	}
	if !strings.Contains(string(said), `msg="stream live"`) {
		t.Error("the log was not read")
	}
}
