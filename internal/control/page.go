package control

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"

	"github.com/sluice-live/sluice/internal/live"
)

// A pager makes and reads nextToken: the last id of the page and the query it belongs
// to, signed, so that a token is only good for the list, filters, account and region
// it came from.
type pager struct{ secret []byte }

// query is everything that must stay the same from page to page.
type query struct {
	Op, Account, Region string
	Filter              string // canonical text of the filters
}

type cursor struct {
	After string `json:"a"`
	MAC   []byte `json:"m"`
}

func (p pager) sign(q query, after string) []byte {
	m := hmac.New(sha256.New, p.secret)
	b, _ := json.Marshal([...]string{q.Op, q.Account, q.Region, q.Filter, after}) // strings always marshal
	_, _ = m.Write(b)
	return m.Sum(nil)[:16]
}

func (p pager) token(q query, after string) string {
	b, _ := json.Marshal(cursor{after, p.sign(q, after)}) // cannot fail either
	return base64.RawURLEncoding.EncodeToString(b)
}

var errToken = live.Errorf(live.Invalid, "the nextToken is not valid for this request")

// after reads the id that the next page starts behind; no token means the beginning.
func (p pager) after(q query, token *string) (string, error) {
	if token == nil || *token == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.DecodeString(*token)
	if err != nil {
		return "", errToken
	}
	var c cursor
	if json.Unmarshal(b, &c) != nil || !hmac.Equal(c.MAC, p.sign(q, c.After)) {
		return "", errToken
	}
	return c.After, nil
}

// page cuts limit items off all, which holds one more when there is a next page.
func page[T any](all []T, limit int, id func(T) string, next func(after string) string) ([]T, *string) {
	if len(all) <= limit {
		return all, nil
	}
	all = all[:limit]
	token := next(id(all[limit-1]))
	return all, &token
}
