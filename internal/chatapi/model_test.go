package chatapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/apigen"
	"github.com/sluice-live/sluice/internal/apigen/apitest"
	"github.com/sluice-live/sluice/internal/chatapi"
	"github.com/sluice-live/sluice/internal/restjson"
)

// fakes has every operation, each succeeding with the zero of its response.
func fakes() chatapi.Operations {
	var ops chatapi.Operations
	v := reflect.ValueOf(&ops).Elem()
	for i := range v.NumField() {
		typ := v.Field(i).Type()
		v.Field(i).Set(reflect.MakeFunc(typ, func([]reflect.Value) []reflect.Value {
			out := []reflect.Value{reflect.Zero(typ.Out(typ.NumOut() - 1))}
			if typ.NumOut() == 2 {
				out = []reflect.Value{reflect.New(typ.Out(0).Elem()), out[0]}
			}
			return out
		}))
	}
	return ops
}

// trusting serves ops to anybody.
func trusting(t testing.TB, ops chatapi.Operations) http.Handler {
	g, err := restjson.NewGateway(restjson.Config{
		Services: []restjson.Service{ops.Service()},
		Authenticate: func(*http.Request, []byte) (restjson.Caller, error) {
			return restjson.Caller{Account: "111122223333", Region: "us-west-2", Service: chatapi.Name}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Every constraint of the model lets through what keeps it and refuses what does not.
func TestModelConstraints(t *testing.T) {
	m, err := apigen.Load("../../api/ivschat.json")
	if err != nil {
		t.Fatal(err)
	}
	cases, err := apitest.Cases(m)
	if err != nil {
		t.Fatal(err)
	}
	h, count := trusting(t, fakes()), map[string]int{}
	for _, c := range cases {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, c.Request())
		got := w.Header().Get("x-amzn-ErrorType")
		var body struct{ Message string }
		if w.Body.Len() > 0 {
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Errorf("%s: the answer is not JSON: %v: %s", c.Name, err, w.Body)
			}
		}
		if count[got]++; got != c.Refuse || (got == "") != (w.Code < 300) || !strings.Contains(body.Message, c.At) {
			t.Errorf("%s: %s %s %.300s\nanswers %d %q %s\nwant %q naming %q", c.Name, c.Method, c.Target, c.Body, w.Code, got, body.Message, c.Refuse, c.At)
		}
	}
	t.Logf("%d requests: %v", len(cases), count)
	if len(count) != 3 {
		t.Errorf("answers are of %d kinds, want success and two refusals: %v", len(count), count)
	}
}

// Every operation of the model has a method, and with no behaviour answers that it is
// not known.
func TestUnknownOperations(t *testing.T) {
	m, err := apigen.Load("../../api/ivschat.json")
	if err != nil {
		t.Fatal(err)
	}
	svc := chatapi.Operations{}.Service()
	all, missing := svc.Operations()
	if len(all) != len(m.Operations) || len(missing) != len(all) {
		t.Errorf("%d operations, %d without behaviour; the model has %d", len(all), len(missing), len(m.Operations))
	}
	h := trusting(t, chatapi.Operations{})
	for _, op := range all {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(op.Method, strings.Replace(op.Path, "{resourceArn}", "arn", 1), nil))
		if w.Code != 404 || w.Header().Get("x-amzn-ErrorType") != "UnknownOperationException" {
			t.Errorf("%s answers %d %s", op.Name, w.Code, w.Header().Get("x-amzn-ErrorType"))
		}
	}
}
