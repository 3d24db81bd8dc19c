package e2e

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/apigen"
	"github.com/sluice-live/sluice/internal/apigen/apitest"
	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/servertest"
)

// TestConformance sends every request that package apitest derives from the models,
// one for each side of each constraint, signed and over HTTP. It checks the whole
// answer, and that no refusal and no reading changed a row. What it finds is the tables
// of operations in docs/compatibility.md; -update writes them.
func TestConformance(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t, func(c *config.Config) { c.LogLevel = slog.LevelError }) // there are 2,300 requests
	for _, service := range []string{"ivs", "ivschat"} {
		m, err := apigen.Load("../../api/" + service + ".json")
		if err != nil {
			t.Fatal(err)
		}
		all, err := apitest.Cases(m)
		if err != nil {
			t.Fatal(err)
		}
		cases := map[string][]apitest.Case{}
		for _, c := range all {
			op, _, _ := strings.Cut(c.Name, ":")
			cases[op] = append(cases[op], c)
		}
		c := &conformance{srv: srv, service: service, m: m, rows: watchRows(t, srv.Dir), ids: map[string]bool{}}
		var table []tableRow
		for i, name := range m.OperationNames() {
			t.Run(service+"/"+name, func(t *testing.T) {
				c.region = "xx-conformance-" + strconv.Itoa(i) // of its own, so that quotas and lists are too
				row := tableRow{operation: name}
				row.state, row.cases = c.operation(t, m.Operations[name], cases[name])
				if !t.Failed() {
					table = append(table, row)
				}
			})
		}
		if len(table) == len(m.Operations) { // not under -run of one
			checkTable(t, service, table)
		}
	}
}

// conformance is one service's model against a server.
type conformance struct {
	srv     *servertest.Server
	service string
	m       *apigen.Model
	rows    *rowWatcher
	region  string
	ids     map[string]bool // request ids seen
}

// operation sends the cases of op and returns its state for the table, and of how many
// cases that is what they showed.
func (c *conformance) operation(t *testing.T, op *apigen.Operation, cases []apitest.Case) (state string, n int) {
	first := c.send(t, cases[0])
	if first.exception() == unknownOperation {
		rows := c.rows.settled(t)
		for _, x := range cases {
			x.Refuse, x.At = unknownOperation, "The requested operation is not known to this service."
			c.check(t, op, x, c.send(t, x))
		}
		c.rows.same(t, op.Name, rows)
		return "not yet", 0
	}
	s := newScene(t, c.srv, c.region, op.Name)
	rows := c.rows.settled(t)
	for _, x := range cases {
		if x.Refuse != "" {
			c.check(t, op, x, c.send(t, s.cast(t, x)))
			rows = c.rows.same(t, x.Name, rows)
		}
	}
	for _, x := range cases {
		if x.Refuse != "" {
			continue
		}
		x.Refuse = beyondModel(x.Name)
		s.reset(t)
		rows = c.rows.settled(t)
		c.check(t, op, x, c.send(t, s.cast(t, x)))
		if x.Refuse != "" || op.ReadOnly {
			c.rows.same(t, x.Name, rows)
		}
	}
	state = "works"
	if partial[c.service][op.Name] {
		state = "partial"
	}
	return state, len(cases)
}

const unknownOperation = "UnknownOperationException"

func (c *conformance) send(t *testing.T, x apitest.Case) answer {
	t.Helper()
	path, query, _ := strings.Cut(x.Target, "?")
	return send(t, call{
		method: x.Method, path: path, query: query, body: []byte(x.Body), service: c.service, region: c.region,
	}.sign(t, c.srv, admin(c.srv)))
}

// check holds an answer against what the model and low-latency.md 1.2 say of it.
func (c *conformance) check(t *testing.T, op *apigen.Operation, x apitest.Case, a answer) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s: "+format+"\n%s %.300s\n%d %s %.500s", append(append([]any{x.Name}, args...), x.Target, x.Body, a.status, a.exception(), a.body)...)
	}
	checkWireHeaders(t, x.Name, a.header)
	if id := a.header.Get("x-amzn-RequestId"); c.ids[id] {
		fail("request id %s came before", id)
	} else {
		c.ids[id] = true
	}
	if want := c.status(t, op, x.Refuse); a.status != want || a.exception() != x.Refuse {
		fail("want %d %q", want, x.Refuse)
		return
	}
	if x.Refuse == "" && (op.Output == nil || a.status == http.StatusNoContent) {
		if len(a.body) > 0 || a.header.Get("Content-Type") != "" {
			fail("want no body, and no type of one")
		}
		return
	}
	var body map[string]any
	if err := json.Unmarshal(a.body, &body); err != nil || a.header.Get("Content-Type") != "application/json" {
		fail("%s: %v", a.header.Get("Content-Type"), err)
		return
	}
	if x.Refuse == "" {
		if broken := newShapeChecker(c.m).structure(op.Output.Shape, body, ""); len(broken) > 0 {
			fail("the output is not as the model says: %s", strings.Join(broken, "; "))
		}
		return
	}
	message, _ := body["message"].(string)
	if message == "" || !strings.Contains(message, x.At) {
		fail("the message does not name %q", x.At)
	}
	if c.service == "ivs" {
		if d := cmp.Diff(map[string]any{"exceptionMessage": message, "message": message}, body); d != "" {
			fail("the body has other members than exceptionMessage and message, which are the same:\n%s", d)
		}
	}
}

// status is the one that the model gives an exception, or success.
func (c *conformance) status(t *testing.T, op *apigen.Operation, exception string) int {
	t.Helper()
	switch exception {
	case "":
		return op.HTTP.ResponseCode
	case unknownOperation:
		return http.StatusNotFound
	case "SerializationException":
		return http.StatusBadRequest
	}
	if !slices.Contains(op.ErrorNames(), exception) {
		t.Errorf("the model does not list %s for %s", exception, op.Name)
	}
	return c.m.Shapes[exception].Error.HTTPStatusCode
}

// beyond lists the cases that keep the model and are still refused, by rules that the
// model cannot say (low-latency.md 1.5, 1.6), and how. The first match counts.
var beyond = []struct {
	name      *regexp.Regexp
	exception string
}{
	// Whose it is that these name, if anybody's.
	{regexp.MustCompile(`^(BatchGet\w+|BatchStartViewerSessionRevocation|ListChannels): .*rns?(\[0\])? of 128 characters passes$`), ""},
	{regexp.MustCompile(`playbackConfigurationArn of 128 characters passes$`), "ValidationException"},
	{regexp.MustCompile(`[aA]rn of 128 characters passes$`), "ResourceNotFoundException"},
	{regexp.MustCompile(`nextToken of 1024 characters passes$`), "ValidationException"},
	// Nobody is live.
	{regexp.MustCompile(`^(GetStream|InsertAdBreak|PutMetadata|StopStream): `), "ChannelNotBroadcasting"},
	// Rules between members.
	{regexp.MustCompile(`Channel: preset [A-Z_]+ passes$`), "ValidationException"},
	{regexp.MustCompile(`multitrackInputConfiguration.enabled true passes$`), "ValidationException"},
	{regexp.MustCompile(`renditionSelection CUSTOM passes$`), "ValidationException"},
	// Members that the model does not require, and what is required of strings.
	{regexp.MustCompile(`(beside those of|null as) mediaTailorPlaybackConfigurations\[0\]`), "ValidationException"},
	{regexp.MustCompile(`beside those of destinationConfiguration passes$|null as destinationConfiguration.s3 passes$`), "ValidationException"},
	{regexp.MustCompile(`allowedCountries\[0\] of 2 characters passes$`), "ValidationException"},
	{regexp.MustCompile(`allowedOrigins\[0\] of 256 characters passes$`), "ValidationException"},
}

func beyondModel(name string) string {
	for _, b := range beyond {
		if b.name.MatchString(name) {
			return b.exception
		}
	}
	return ""
}
