package webrtc

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"

	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
)

// codeStreamKey is the one code of the broadcast SDK's own: it tells of a stream key
// that is not valid as such. Others are the status.
const codeStreamKey = 1007

// An offerRequest is what the broadcast SDK posts. offer is the description in JSON, in
// base64.
type offerRequest struct {
	Offer         string `json:"offer"`
	StreamKey     string `json:"streamKey"`
	MaxResolution struct {
		Width  float64 `json:"width"`
		Height float64 `json:"height"`
	} `json:"maxResolution"`
	MaxFramerate float64 `json:"maxFramerate"` // frames per second
	MaxBitrate   float64 `json:"maxBitrate"`   // kbit/s
}

type description struct {
	Type string `json:"type"`
	SDP  string `json:"sdp"`
}

// parse reads the body of a request.
func (q *offerRequest) parse(body []byte) (in proposal, err error) {
	malformed := func(err error) error {
		return &live.Error{Kind: live.Invalid, Detail: "The request is not an offer.", Err: err}
	}
	if err := json.Unmarshal(body, q); err != nil {
		return in, malformed(err)
	}
	b, err := base64.StdEncoding.DecodeString(q.Offer)
	if err != nil {
		return in, malformed(err)
	}
	var d description
	if err := json.Unmarshal(b, &d); err != nil {
		return in, malformed(err)
	}
	if d.Type != "offer" || d.SDP == "" {
		return in, malformed(nil)
	}
	// It is shown, not believed.
	within := func(v, limit float64) float64 {
		if v > 0 && v <= limit {
			return v
		}
		return 0
	}
	return proposal{key: q.StreamKey, sdp: d.SDP, kind: ingest.Announcement{
		Width:        int(within(q.MaxResolution.Width, 1e5)),
		Height:       int(within(q.MaxResolution.Height, 1e5)),
		FrameRate:    within(q.MaxFramerate, 300),
		VideoBitRate: int64(within(q.MaxBitrate, 1e6) * 1000),
	}}, nil
}

// postOffer takes a publication of the broadcast SDK.
func (s *Server) postOffer(w http.ResponseWriter, r *http.Request) {
	p, answer, err := s.offered(r)
	if err != nil {
		status, kind, message := s.refusal(r, err)
		code := status
		if kind == live.Denied {
			code = codeStreamKey
		}
		reply(w, status, struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		}{code, message})
		return
	}
	s.metrics.offers.WithLabelValues(outcomeAccepted).Inc()
	b, err := json.Marshal(description{"answer", answer})
	if err != nil { // of two strings there is none
		p.finish(endUnconnected)
		reply(w, http.StatusInternalServerError, struct{}{})
		return
	}
	reply(w, http.StatusOK, struct {
		Answer  string `json:"answer"`
		Session string `json:"ingestSessionId"`
	}{base64.StdEncoding.EncodeToString(b), p.id})
}

func (s *Server) offered(r *http.Request) (*peer, string, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, "", errBody(err)
	}
	var q offerRequest
	in, err := q.parse(body)
	if err != nil {
		return nil, "", err
	}
	return s.accept(r, in)
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the peer is gone if it fails
}
