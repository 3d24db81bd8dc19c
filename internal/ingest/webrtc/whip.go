package webrtc

import (
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"mime"
	"net/http"
	"strings"
)

// sdpType is what WHIP posts and gets.
const sdpType = "application/sdp"

// postWHIP takes a publication by WHIP (RFC 9725): the bearer token is the stream key.
// The answer has all candidates, and the peer's are not needed, so there is no trickle
// ICE: what is sent to a session's URL to that end (PATCH) is a method not allowed.
func (s *Server) postWHIP(w http.ResponseWriter, r *http.Request) {
	key := bearer(r)
	if key == "" {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "The stream key is missing: send it as a bearer token.", http.StatusUnauthorized)
		return
	}
	if typ, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || typ != sdpType {
		w.Header().Set("Accept-Post", sdpType)
		http.Error(w, "The offer must be "+sdpType+".", http.StatusUnsupportedMediaType)
		return
	}
	p, answer, err := s.whipOffered(r, key)
	if err != nil {
		status, _, message := s.refusal(r, err)
		switch status {
		case http.StatusServiceUnavailable:
			w.Header().Set("Retry-After", "5")
		case http.StatusTooManyRequests:
			w.Header().Set("Retry-After", "1")
		}
		http.Error(w, message, status)
		return
	}
	s.metrics.offers.WithLabelValues(outcomeAccepted).Inc()
	s.remember(p)
	w.Header().Set("Content-Type", sdpType)
	w.Header().Set("Location", whipPath+"/"+p.id)
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, answer) // the peer is gone if it fails
}

func (s *Server) whipOffered(r *http.Request, key string) (*peer, string, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, "", errBody(err)
	}
	return s.accept(r, proposal{key: key, sdp: string(body), params: r.URL.Query()})
}

// deleteWHIP ends a publication. It takes the key again, since a session's URL is
// written down in places that a key is not.
func (s *Server) deleteWHIP(w http.ResponseWriter, r *http.Request) {
	key := sha256.Sum256([]byte(bearer(r)))
	s.mu.Lock()
	p := s.whip[r.PathValue("id")]
	s.mu.Unlock()
	switch {
	case bearer(r) == "":
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "The stream key is missing: send it as a bearer token.", http.StatusUnauthorized)
	case p == nil:
		http.Error(w, "There is no such session.", http.StatusNotFound)
	case subtle.ConstantTimeCompare(key[:], p.key[:]) != 1:
		http.Error(w, "The stream key is another one.", http.StatusForbidden)
	default:
		p.finish(endUnpublished)
		w.WriteHeader(http.StatusOK)
	}
}

// remember makes a session's URL work, until forget.
func (s *Server) remember(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-p.gone: // it has ended meanwhile
	default:
		s.whip[p.id] = p
	}
}

func (s *Server) forget(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.whip, p.id)
}

// bearer is the token of a request, "" without one.
func bearer(r *http.Request) string {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
