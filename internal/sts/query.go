package sts

import (
	"encoding/xml"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/sluice-live/sluice/internal/restjson"
)

const (
	version   = "2011-06-15"
	namespace = "https://sts.amazonaws.com/doc/" + version + "/"
)

// An apiError is an exception of STS.
type apiError struct {
	status  int
	code    string
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// Fault tells the wire form; package restjson asks for it.
func (e *apiError) Fault() (status int, name, message string) { return e.status, e.code, e.message }

func invalid(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "ValidationError", fmt.Sprintf(format, args...)}
}

func denied(format string, args ...any) *apiError {
	return &apiError{http.StatusForbidden, "AccessDenied", fmt.Sprintf(format, args...)}
}

// queryNames are the names that the Query protocol has for errors of the front end; the
// others only lose their "Exception".
func queryName(name string) string {
	switch name {
	case "AccessDeniedException":
		return "AccessDenied"
	case "InternalServerException":
		return "InternalFailure"
	case "InvalidSignatureException":
		return "SignatureDoesNotMatch"
	case "UnrecognizedClientException":
		return "InvalidClientTokenId"
	case "ValidationException", "SerializationException":
		return "ValidationError"
	}
	return strings.TrimSuffix(name, "Exception")
}

// params are the parameters of a request: of the form in its body, or of its query.
type params struct{ url.Values }

func parseParams(r *http.Request, body []byte) (params, error) {
	text := r.URL.RawQuery
	if r.Method == http.MethodPost {
		if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
			return params{}, &apiError{http.StatusBadRequest, "MalformedInput", "The body must be application/x-www-form-urlencoded."}
		}
		text = string(body)
	}
	v, err := url.ParseQuery(text)
	if err != nil {
		return params{}, &apiError{http.StatusBadRequest, "MalformedInput", "The parameters are malformed."}
	}
	for name, all := range v {
		if len(all) > 1 {
			return params{}, &apiError{http.StatusBadRequest, "MalformedInput", fmt.Sprintf("The parameter %s is given more than once.", clip(name))}
		}
	}
	return params{v}, nil
}

// seconds reads a duration in seconds within bounds.
func (p params) seconds(name string, def, low, high int) (int, error) {
	s := p.Get(name)
	if s == "" {
		return def, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0, invalid("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must have value between %d and %d", clip(s), name, low, high)
	}
	return n, nil
}

// refuse tells that a parameter is not supported, rather than ignore what its sender
// relies on.
func (p params) refuse(names ...string) error {
	for name, v := range p.Values {
		for _, n := range names {
			if (name == n || strings.HasPrefix(name, n+".")) && v[0] != "" {
				return invalid("The parameter %s is not supported.", n)
			}
		}
	}
	return nil
}

// members reads name.member.1, name.member.2, ... up to most.
func (p params) members(name, field string, most int) ([]string, error) {
	var all []string
	for i := 1; ; i++ {
		v, ok := p.Values[name+".member."+strconv.Itoa(i)+field]
		if !ok {
			return all, nil
		}
		if i > most {
			return nil, invalid("%s may have %d members at most.", name, most)
		}
		all = append(all, v[0])
	}
}

// A response is the envelope of every answer.
type response struct {
	XMLName xml.Name
	XMLNS   string `xml:"xmlns,attr"`
	Result  any
	ID      string `xml:"ResponseMetadata>RequestId"`
}

// send answers action with result, an XML structure named <action>Result.
func send(w http.ResponseWriter, requestID, action string, result any) error {
	b, err := xml.Marshal(response{xml.Name{Local: action + "Response"}, namespace, result, requestID})
	if err != nil {
		return fmt.Errorf("sts: %w", err)
	}
	write(w, http.StatusOK, b)
	return nil
}

func write(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/xml")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a failed write has no reader left
}

type errorResponse struct {
	XMLName xml.Name `xml:"ErrorResponse"`
	XMLNS   string   `xml:"xmlns,attr"`
	Type    string   `xml:"Error>Type"`
	Code    string   `xml:"Error>Code"`
	Message string   `xml:"Error>Message"`
	ID      string   `xml:"RequestId"`
}

// refuse writes an error in the words of the Query protocol.
func refuse(w http.ResponseWriter, requestID string, f restjson.Fault) restjson.Result {
	e := errorResponse{XMLNS: namespace, Type: "Sender", Code: queryName(f.Name), Message: f.Message, ID: requestID}
	if f.Status >= http.StatusInternalServerError {
		e.Type = "Receiver"
	}
	b, err := xml.Marshal(e)
	if err != nil { // strings only: it cannot be
		b = nil
	}
	write(w, f.Status, b)
	return restjson.Result{Status: f.Status, ErrorType: e.Code}
}

// clip bounds what a message repeats of the request.
func clip(s string) string {
	if len(s) <= 128 {
		return s
	}
	return strings.ToValidUTF8(s[:128], "") + "..."
}
