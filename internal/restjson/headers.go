package restjson

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// fixed are the headers of every API answer: what a browser needs to read one of another
// origin (low-latency.md 1.2), and what keeps it from doing anything else. The lists are
// shared by all answers: net/http only reads them.
func fixed() map[string][]string {
	h := http.Header{}
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "x-amzn-RequestId,x-amzn-ErrorType,x-amzn-ErrorMessage,Date")
	h.Set("Cache-Control", "no-store, no-cache")
	h.Set("Content-Security-Policy", "default-src 'self'; upgrade-insecure-requests;")
	h.Set("Strict-Transport-Security", "max-age=47304000; includeSubDomains")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "SAMEORIGIN")
	for name, values := range h {
		h[name] = slices.Clip(values) // who adds a value gets a list of its own
	}
	return h
}

// setHeaders writes what every API answer carries.
func (g *Gateway) setHeaders(h http.Header, requestID string) {
	maps.Copy(h, g.fixed)
	if have := h["X-Amzn-Requestid"]; len(have) != 1 || have[0] != requestID { // not by who made the id
		h.Set("x-amzn-RequestId", requestID)
	}
}

// preflight answers a browser that asks whether it may send a signed request. It may,
// from any origin: a request proves itself by its signature and never by a cookie.
func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
	h.Set("Access-Control-Max-Age", "86400") // seconds
	h.Add("Vary", "Access-Control-Request-Headers")
	// A wildcard does not cover Authorization, so the wanted names are echoed.
	if want := strings.Join(r.Header.Values("Access-Control-Request-Headers"), ","); want != "" && headerNames(want) {
		h.Set("Access-Control-Allow-Headers", want)
	}
	w.WriteHeader(http.StatusNoContent)
}

// headerNames tells whether s is a list of header names of sane length.
func headerNames(s string) bool {
	return len(s) <= 2048 && strings.IndexFunc(s, func(c rune) bool {
		return c != '-' && c != ',' && c != ' ' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	}) < 0
}
