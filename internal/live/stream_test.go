package live

import "testing"

func TestEventFailure(t *testing.T) {
	const state = "IVS Stream State Change"
	for name, tt := range map[string]struct {
		event Event
		want  bool
	}{
		"a start":                      {Event{Name: "Stream Start", Type: state}, false},
		"an end":                       {Event{Name: "Session Ended", Type: state}, false},
		"an end with a reason":         {Event{Name: "Session Ended", Type: state, Code: "MultitrackInputNotAllowed"}, true},
		"starvation is none":           {Event{Name: "Starvation Start", Type: "IVS Stream Health Change"}, false},
		"no capacity":                  {Event{Name: "Stream Failure", Type: state}, true},
		"a takeover":                   {Event{Name: "Stream Takeover", Type: state}, false},
		"a takeover that was refused":  {Event{Name: "Stream Takeover Failure", Type: state, Code: "StreamTakeoverInvalidPriority"}, true},
		"a limit":                      {Event{Name: "Ingest Bitrate", Type: "IVS Limit Breach"}, true},
		"a recording":                  {Event{Name: "Recording End", Type: "IVS Recording State Change"}, false},
		"a recording that broke off":   {Event{Name: "Recording End Failure", Type: "IVS Recording State Change"}, true},
		"a recording that never began": {Event{Name: "Recording Start Failure", Type: "IVS Recording State Change"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.event.Failure(); got != tt.want {
				t.Errorf("Failure() of %q (%s, code %q) = %t, want %t", tt.event.Name, tt.event.Type, tt.event.Code, got, tt.want)
			}
		})
	}
}
