package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"

	"github.com/sluice-live/sluice/internal/servertest"
)

func TestSignaturesAreChecked(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	good := admin(srv)
	wrong := aws.Credentials{AccessKeyID: good.AccessKeyID, SecretAccessKey: strings.Repeat("x", 40)}
	stranger := aws.Credentials{AccessKeyID: "AKIAAAAAAAAAAAAAAAAA", SecretAccessKey: good.SecretAccessKey}
	list := call{path: "/ListChannels", body: []byte(`{}`)}

	for name, tt := range map[string]struct {
		req     func() *http.Request
		name    string // of the exception; "" for success
		message string // part of it
	}{
		"a good signature": {func() *http.Request { return list.sign(t, srv, good) }, "", ""},
		"no signature":     {func() *http.Request { return list.request(t, srv) }, "MissingAuthenticationTokenException", "Missing Authentication Token"},
		"another scheme": {func() *http.Request {
			req := list.request(t, srv)
			req.SetBasicAuth(good.AccessKeyID, good.SecretAccessKey)
			return req
		}, "MissingAuthenticationTokenException", ""},
		"a signature cut short": {func() *http.Request {
			req := list.sign(t, srv, good)
			auth, _, _ := strings.Cut(req.Header.Get("Authorization"), ", Signature=")
			req.Header.Set("Authorization", auth)
			return req
		}, "IncompleteSignature", "requires 'Signature' parameter"},
		"a wrong secret": {func() *http.Request {
			return list.sign(t, srv, wrong)
		}, "InvalidSignatureException", "does not match the signature you provided"},
		"an unknown key": {func() *http.Request {
			return list.sign(t, srv, stranger)
		}, "UnrecognizedClientException", "security token included in the request is invalid"},
		"a clock 16 minutes behind": {func() *http.Request {
			c := list
			c.time = time.Now().Add(-16 * time.Minute)
			return c.sign(t, srv, good)
		}, "InvalidSignatureException", "Signature expired"},
		"a clock 16 minutes ahead": {func() *http.Request {
			c := list
			c.time = time.Now().Add(16 * time.Minute)
			return c.sign(t, srv, good)
		}, "InvalidSignatureException", "Signature not yet current"},
		"a clock 14 minutes behind": {func() *http.Request {
			c := list
			c.time = time.Now().Add(-14 * time.Minute)
			return c.sign(t, srv, good)
		}, "", ""},
		"another body": {func() *http.Request {
			req := list.sign(t, srv, good)
			req.Body = call{path: list.path, body: []byte(`[]`)}.request(t, srv).Body
			return req
		}, "InvalidSignatureException", ""},
		"another operation": {func() *http.Request {
			req := list.sign(t, srv, good)
			req.URL.Path = "/ListStreams"
			return req
		}, "InvalidSignatureException", ""},
		"another query": {func() *http.Request {
			req := list.sign(t, srv, good)
			req.URL.RawQuery = "tagKeys=a"
			return req
		}, "InvalidSignatureException", ""},
		"another region": {func() *http.Request {
			req := list.sign(t, srv, good)
			req.Header.Set("Authorization", strings.Replace(req.Header.Get("Authorization"), "/us-west-2/", "/eu-west-1/", 1))
			return req
		}, "InvalidSignatureException", ""},
		"a request of 17 minutes ago, again": {func() *http.Request {
			c := list
			c.time = time.Now().Add(-16 * time.Minute)
			return c.sign(t, srv, good)
		}, "InvalidSignatureException", "Signature expired"},
		"a request of yesterday, dated now": {func() *http.Request {
			c := list
			c.time = time.Now().Add(-24 * time.Hour)
			req := c.sign(t, srv, good)
			req.Header.Set("X-Amz-Date", time.Now().UTC().Format("20060102T150405Z"))
			return req
		}, "InvalidSignatureException", "Date in Credential scope does not match"},
		"a date twice": {func() *http.Request {
			req := list.sign(t, srv, good)
			req.Header.Add("X-Amz-Date", req.Header.Get("X-Amz-Date"))
			return req
		}, "IncompleteSignature", "must come once"},
		"a credential twice": {func() *http.Request {
			req := list.sign(t, srv, good)
			req.Header.Add("Authorization", req.Header.Get("Authorization"))
			return req
		}, "IncompleteSignature", "Only one auth mechanism"},
		"a signed header a second time": {func() *http.Request {
			req := list.sign(t, srv, good)
			req.Header.Add("Content-Type", "application/json")
			return req
		}, "InvalidSignatureException", "does not match"},
		"a body that is not signed": {func() *http.Request {
			return list.signAs(t, srv, good, "UNSIGNED-PAYLOAD")
		}, "InvalidSignatureException", "must be signed"},
		"an upload in signed chunks": {func() *http.Request {
			c := list
			c.body = []byte("2;chunk-signature=" + strings.Repeat("0", 64) + "\r\n{}\r\n0;chunk-signature=" + strings.Repeat("0", 64) + "\r\n\r\n")
			return c.signAs(t, srv, good, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
		}, "InvalidSignatureException", "takes no uploads in chunks"},
		"a service that is not here": {func() *http.Request {
			c := list
			c.service = "s3"
			return c.sign(t, srv, good)
		}, "InvalidSignatureException", "scoped to a service of this endpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			a := send(t, tt.req())
			want := http.StatusForbidden
			if tt.name == "" {
				want = http.StatusOK
			}
			if a.status != want || a.exception() != tt.name || !strings.Contains(a.message(), tt.message) {
				t.Errorf("%d %q %q, want %d %q %q", a.status, a.exception(), a.message(), want, tt.name, tt.message)
			}
			checkWireHeaders(t, name, a.header)
		})
	}
}

// A tag path holds an encoded ARN, and is encoded once more to be signed.
func TestTagPathsAreEncodedTwiceToSign(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	ch := srv.NewChannel(t)
	escaped := "/tags/" + url.PathEscape(*ch.Arn)
	for name, tt := range map[string]struct {
		sent, signed string
		exception    string
	}{
		"encoded, and encoded twice to sign":     {escaped, escaped, ""},
		"slashes and all, and encoded to sign":   {"/tags/" + *ch.Arn, "/tags/" + *ch.Arn, ""},
		"encoded, and signed as it is":           {escaped, "/tags/" + *ch.Arn, "InvalidSignatureException"},
		"encoded, and encoded three times":       {escaped, "/tags/" + url.PathEscape(url.PathEscape(*ch.Arn)), "InvalidSignatureException"},
		"of another resource":                    {escaped, "/tags/" + url.PathEscape(absentChannel), "InvalidSignatureException"},
		"of another resource, by a step back":    {"/tags/" + url.PathEscape(absentChannel) + "/../" + url.PathEscape(*ch.Arn), escaped, "ValidationException"},
		"of another resource, by an empty step":  {"/tags//" + url.PathEscape(*ch.Arn), escaped, "ValidationException"},
		"signed with lower-case hex, sent upper": {escaped, strings.ReplaceAll(strings.ReplaceAll(escaped, "%3A", "%3a"), "%2F", "%2f"), "InvalidSignatureException"},
	} {
		t.Run(name, func(t *testing.T) {
			req := call{method: http.MethodGet, path: tt.signed}.sign(t, srv, admin(srv))
			sent := call{path: tt.sent}.request(t, srv)
			req.URL = sent.URL
			if a := send(t, req); a.exception() != tt.exception {
				t.Errorf("%s signed as %s: %d %q %s, want %q", tt.sent, tt.signed, a.status, a.exception(), a.body, tt.exception)
			}
		})
	}
}

func TestSDKNamesBadCredentials(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	good := admin(srv)
	for want, c := range map[string]aws.Credentials{
		"InvalidSignatureException":   {AccessKeyID: good.AccessKeyID, SecretAccessKey: "wrong"},
		"UnrecognizedClientException": {AccessKeyID: "AKIAAAAAAAAAAAAAAAAA", SecretAccessKey: "wrong"},
	} {
		_, err := client(srv.Base, srv.Region, c).ListChannels(t.Context(), &ivs.ListChannelsInput{})
		if e, ok := asAPIError(err); !ok || e.ErrorCode() != want || e.ErrorMessage() == "" {
			t.Errorf("ListChannels = %v, want %s with a message", err, want)
		}
	}
}

func TestPresignedRequests(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	good := admin(srv)
	ch := srv.NewChannel(t, func(in *ivs.CreateChannelInput) { in.Tags = map[string]string{"env": "test"} })
	tags := call{method: http.MethodGet, path: "/tags/" + url.PathEscape(*ch.Arn), query: "X-Amz-Expires=60"}

	a := send(t, tags.presign(t, srv, good))
	var got struct{ Tags map[string]string }
	if err := json.Unmarshal(a.body, &got); err != nil || a.status != http.StatusOK || got.Tags["env"] != "test" {
		t.Errorf("presigned GET of tags: %d %s, want the channel's tags", a.status, a.body)
	}
	for name, tt := range map[string]struct {
		req     func() *http.Request
		message string
	}{
		"past its time": {func() *http.Request {
			c := tags
			c.time = time.Now().Add(-2 * time.Minute)
			return c.presign(t, srv, good)
		}, "Signature expired"},
		"with a longer time than was signed": {func() *http.Request {
			req := tags.presign(t, srv, good)
			req.URL.RawQuery = strings.Replace(req.URL.RawQuery, "X-Amz-Expires=60", "X-Amz-Expires=600", 1)
			return req
		}, "does not match"},
		"for another resource": {func() *http.Request {
			req := tags.presign(t, srv, good)
			other := call{path: "/tags/" + url.PathEscape(absentChannel)}.request(t, srv).URL
			req.URL.Path, req.URL.RawPath = other.Path, other.RawPath
			return req
		}, "does not match"},
		"by another method": {func() *http.Request {
			req := tags.presign(t, srv, good)
			req.Method = http.MethodDelete
			return req
		}, "does not match"},
	} {
		t.Run(name, func(t *testing.T) {
			if a := send(t, tt.req()); a.status != http.StatusForbidden || a.exception() != "InvalidSignatureException" || !strings.Contains(a.message(), tt.message) {
				t.Errorf("%d %q %q, want 403 InvalidSignatureException %q", a.status, a.exception(), a.message(), tt.message)
			}
		})
	}
}

func TestDeletedAccessKeyStopsWorking(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	st := openStore(t, srv.Dir)
	key := newKey(t, st, srv.Account)
	c := client(srv.Base, srv.Region, key)
	if _, err := c.ListChannels(t.Context(), &ivs.ListChannelsInput{}); err != nil {
		t.Fatalf("with a new key: %v", err)
	}
	if err := st.DeleteAccessKey(t.Context(), key.AccessKeyID); err != nil {
		t.Fatal(err)
	}
	servertest.Eventually(t, "the key is refused", func() bool { // it is cached for a second
		_, err := c.ListChannels(t.Context(), &ivs.ListChannelsInput{})
		e, ok := asAPIError(err)
		return ok && e.ErrorCode() == "UnrecognizedClientException"
	})
}

func TestAccountsAndRegionsAreApart(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	ch := srv.NewChannel(t, func(in *ivs.CreateChannelInput) { in.Name = aws.String("mine") })
	other := newKey(t, openStore(t, srv.Dir), "999988887777")
	keys, err := srv.IVS().ListStreamKeys(t.Context(), &ivs.ListStreamKeysInput{ChannelArn: ch.Arn})
	if err != nil {
		t.Fatal(err)
	}
	key := keys.StreamKeys[0].Arn

	for name, c := range map[string]*ivs.Client{
		"another account": client(srv.Base, srv.Region, other),
		"another region":  client(srv.Base, "eu-west-1", admin(srv)),
	} {
		t.Run(name, func(t *testing.T) {
			out, err := c.ListChannels(t.Context(), &ivs.ListChannelsInput{})
			if err != nil || len(out.Channels) != 0 {
				t.Errorf("ListChannels: %d channels, %v, want none", len(out.Channels), err)
			}
			batch, err := c.BatchGetChannel(t.Context(), &ivs.BatchGetChannelInput{Arns: []string{*ch.Arn}})
			if err != nil || len(batch.Channels) != 0 || len(batch.Errors) != 1 {
				t.Errorf("BatchGetChannel = %+v, %v, want an error for the channel", batch, err)
			}
			for op, do := range map[string]func() error{
				"GetChannel":    func() error { _, err := c.GetChannel(t.Context(), &ivs.GetChannelInput{Arn: ch.Arn}); return err },
				"UpdateChannel": func() error { _, err := c.UpdateChannel(t.Context(), &ivs.UpdateChannelInput{Arn: ch.Arn}); return err },
				"DeleteChannel": func() error { _, err := c.DeleteChannel(t.Context(), &ivs.DeleteChannelInput{Arn: ch.Arn}); return err },
				"GetStream":     func() error { _, err := c.GetStream(t.Context(), &ivs.GetStreamInput{ChannelArn: ch.Arn}); return err },
				"StopStream": func() error {
					_, err := c.StopStream(t.Context(), &ivs.StopStreamInput{ChannelArn: ch.Arn})
					return err
				},
				"GetStreamKey": func() error { _, err := c.GetStreamKey(t.Context(), &ivs.GetStreamKeyInput{Arn: key}); return err },
				"ListStreamKeys": func() error {
					_, err := c.ListStreamKeys(t.Context(), &ivs.ListStreamKeysInput{ChannelArn: ch.Arn})
					return err
				},
				"CreateStreamKey": func() error {
					_, err := c.CreateStreamKey(t.Context(), &ivs.CreateStreamKeyInput{ChannelArn: ch.Arn})
					return err
				},
				"DeleteStreamKey": func() error {
					_, err := c.DeleteStreamKey(t.Context(), &ivs.DeleteStreamKeyInput{Arn: key})
					return err
				},
				"ListTagsForResource": func() error {
					_, err := c.ListTagsForResource(t.Context(), &ivs.ListTagsForResourceInput{ResourceArn: ch.Arn})
					return err
				},
				"TagResource": func() error {
					_, err := c.TagResource(t.Context(), &ivs.TagResourceInput{ResourceArn: ch.Arn, Tags: map[string]string{"a": "b"}})
					return err
				},
				"UntagResource": func() error {
					_, err := c.UntagResource(t.Context(), &ivs.UntagResourceInput{ResourceArn: ch.Arn, TagKeys: []string{"a"}})
					return err
				},
			} {
				wantErr[*types.ResourceNotFoundException](t, op, do(), 404)
			}
		})
	}

	// Each has its own, under the same name.
	mine, err := client(srv.Base, "eu-west-1", other).CreateChannel(t.Context(), &ivs.CreateChannelInput{Name: aws.String("mine")})
	if err != nil || !strings.HasPrefix(*mine.Channel.Arn, "arn:aws:ivs:eu-west-1:999988887777:channel/") {
		t.Fatalf("CreateChannel = %+v, %v, want an ARN of that account and region", mine, err)
	}
	out, err := srv.IVS().ListChannels(t.Context(), &ivs.ListChannelsInput{FilterByName: aws.String("mine")})
	if err != nil || len(out.Channels) != 1 || *out.Channels[0].Arn != *ch.Arn {
		t.Errorf("ListChannels by name = %+v, %v, want only the caller's own", out, err)
	}
}
