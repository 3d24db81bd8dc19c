package chatapi_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ivschat"
	"github.com/aws/aws-sdk-go-v2/service/ivschat/types"

	"github.com/sluice-live/sluice/internal/chatapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/sigv4"
)

// The stock SDK speaks to the generated code, through real signature checks.
func TestSDK(t *testing.T) {
	const room = "arn:aws:ivschat:us-west-2:111122223333:room/Qm4Zt81LrXcB"
	at := time.Date(2026, 3, 1, 9, 15, 2, 417e6, time.UTC)
	tags := map[string]string{}
	ops := chatapi.Operations{
		CreateRoom: func(_ context.Context, in *chatapi.CreateRoomRequest) (*chatapi.CreateRoomResponse, error) {
			return &chatapi.CreateRoomResponse{Arn: new(room), CreateTime: &at, MaximumMessageLength: in.MaximumMessageLength, Name: in.Name}, nil
		},
		GetRoom: func(context.Context, *chatapi.GetRoomRequest) (*chatapi.GetRoomResponse, error) {
			return nil, &live.Error{Kind: live.NotFound, Detail: "Room not found", Err: &restjson.Detail{ResourceID: "Qm4Zt81LrXcB"}}
		},
		CreateChatToken: func(_ context.Context, in *chatapi.CreateChatTokenRequest) (*chatapi.CreateChatTokenResponse, error) {
			return &chatapi.CreateChatTokenResponse{Token: new("t-" + in.UserId + "-" + restjson.Secret(in.Attributes["displayName"]))}, nil
		},
		TagResource: func(_ context.Context, in *chatapi.TagResourceRequest) (*chatapi.TagResourceResponse, error) {
			maps.Copy(tags, in.Tags)
			return &chatapi.TagResourceResponse{}, nil
		},
	}
	verifier := sigv4.New(func(context.Context, string, string) (sigv4.Credential, error) {
		return sigv4.Credential{Secret: "secret", Account: "111122223333"}, nil
	}, time.Now)
	g, err := restjson.NewGateway(restjson.Config{
		Services: []restjson.Service{ops.Service()},
		Authenticate: func(r *http.Request, body []byte) (restjson.Caller, error) {
			id, err := verifier.Verify(r, body)
			return restjson.Caller{Account: id.Account, Region: id.Region, Service: id.Service}, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(g)
	t.Cleanup(srv.Close)
	c := ivschat.New(ivschat.Options{
		Region: "us-west-2", BaseEndpoint: &srv.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", ""),
	})

	out, err := c.CreateRoom(t.Context(), &ivschat.CreateRoomInput{Name: aws.String("harbor-cam"), MaximumMessageLength: aws.Int32(280)})
	if err != nil || *out.Name != "harbor-cam" || *out.MaximumMessageLength != 280 || !out.CreateTime.Equal(at) {
		t.Errorf("CreateRoom = %+v, %v", out, err)
	}
	_, err = c.GetRoom(t.Context(), &ivschat.GetRoomInput{Identifier: aws.String(room)})
	if e, ok := errors.AsType[*types.ResourceNotFoundException](err); !ok || *e.Message != "Room not found" || *e.ResourceId != "Qm4Zt81LrXcB" || e.ResourceType != types.ResourceTypeRoom {
		t.Errorf("GetRoom = %v", err)
	}
	_, err = c.UpdateRoom(t.Context(), &ivschat.UpdateRoomInput{Identifier: aws.String(room)})
	if err == nil {
		t.Error("an operation without behaviour succeeds")
	}
	_, err = c.CreateRoom(t.Context(), &ivschat.CreateRoomInput{MaximumMessageLength: aws.Int32(501)})
	if e, ok := errors.AsType[*types.ValidationException](err); !ok || e.Reason != types.ValidationExceptionReasonFieldValidationFailed || *e.FieldList[0].Name != "maximumMessageLength" {
		t.Errorf("CreateRoom with a long message length = %v", err)
	}
	token, err := c.CreateChatToken(t.Context(), &ivschat.CreateChatTokenInput{RoomIdentifier: aws.String(room), UserId: aws.String("ines"), Attributes: map[string]string{"displayName": "Inés"}})
	if err != nil || *token.Token != "t-ines-Inés" {
		t.Errorf("CreateChatToken = %+v, %v", token, err)
	}
	if _, err := c.TagResource(t.Context(), &ivschat.TagResourceInput{ResourceArn: aws.String(room), Tags: map[string]string{"a": "b"}}); err != nil || tags["a"] != "b" {
		t.Errorf("TagResource = %v, tags %v", err, tags)
	}
}
