package control

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/store"
)

// maxKeyText bounds the text of a public key, in bytes. One of P-384 has 215.
const maxKeyText = 4096

// parsePublicKey reads an ECDSA P-384 public key in PEM, which must be all there is, and
// returns it as DER SubjectPublicKeyInfo, in the one form that each key has.
func parsePublicKey(text string) ([]byte, error) {
	refuse := func(err error) ([]byte, error) {
		return nil, &live.Error{Kind: live.Invalid, Detail: "publicKeyMaterial must be one ECDSA public key of curve P-384, in PEM", Err: err}
	}
	if len(text) > maxKeyText {
		return refuse(fmt.Errorf("%d bytes", len(text)))
	}
	text = strings.TrimSpace(text)
	block, rest := pem.Decode([]byte(text))
	if block == nil || !strings.HasPrefix(text, "-----BEGIN PUBLIC KEY-----") || block.Type != "PUBLIC KEY" ||
		len(block.Headers) > 0 || len(rest) > 0 {
		return refuse(errors.New("not one PEM block of a public key"))
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return refuse(err)
	}
	ec, ok := key.(*ecdsa.PublicKey)
	if !ok || ec.Curve != elliptic.P384() {
		return refuse(fmt.Errorf("a %T of another curve or kind", key))
	}
	der, err := x509.MarshalPKIXPublicKey(ec)
	if err != nil {
		return refuse(err)
	}
	return der, nil
}

// fingerprint names a key as IVS does: the MD5 of its DER, which identifies and protects
// nothing (low-latency.md 1.3).
func fingerprint(spki []byte) string {
	sum := md5.Sum(spki)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = hex.EncodeToString([]byte{b})
	}
	return strings.Join(pairs, ":")
}

// ImportPlaybackKeyPair takes the public half of a key pair. The same key twice is a
// conflict.
func (c *Control) ImportPlaybackKeyPair(ctx context.Context, in *ivsapi.ImportPlaybackKeyPairRequest) (*ivsapi.ImportPlaybackKeyPairResponse, error) {
	caller := restjson.CallerFrom(ctx)
	if err := c.checkTags(in.Tags); err != nil {
		return nil, err
	}
	spki, err := parsePublicKey(in.PublicKeyMaterial)
	if err != nil {
		return nil, err
	}
	k := live.PlaybackKey{
		ARN: c.newARN(caller, live.TypePlaybackKey), SPKI: spki, Fingerprint: fingerprint(spki),
		Tags: maps.Clone(in.Tags), Created: c.now().UTC(),
	}
	set(&k.Name, in.Name)
	row, err := store.RowOfPlaybackKey(k)
	if err != nil {
		return nil, err
	}
	err = c.store.Tx(ctx, func(tx *store.Tx) error {
		have, err := tx.ByLookup(ctx, live.ServiceIVS, live.TypePlaybackKey, row.Lookup)
		switch {
		case err == nil:
			return live.Errorf(live.Conflict, "the key is already imported as %s", have.ARN)
		case !errors.Is(err, store.ErrNotFound):
			return fmt.Errorf("control: %w", err)
		}
		if err := room(ctx, tx, all(caller, live.TypePlaybackKey), c.cfg.Limits.PlaybackKeys); err != nil {
			return err
		}
		return tx.Insert(ctx, row)
	})
	if err != nil {
		return nil, err
	}
	return &ivsapi.ImportPlaybackKeyPairResponse{KeyPair: wirePlaybackKey(k)}, nil
}

// GetPlaybackKeyPair returns one key pair, by its fingerprint and never by its key.
func (c *Control) GetPlaybackKeyPair(ctx context.Context, in *ivsapi.GetPlaybackKeyPairRequest) (*ivsapi.GetPlaybackKeyPairResponse, error) {
	row, err := c.row(ctx, c.store, in.Arn, live.TypePlaybackKey)
	if err != nil {
		return nil, err
	}
	k, err := store.PlaybackKeyOf(row)
	if err != nil {
		return nil, err
	}
	return &ivsapi.GetPlaybackKeyPairResponse{KeyPair: wirePlaybackKey(k)}, nil
}

// ListPlaybackKeyPairs lists the caller's key pairs in this region.
func (c *Control) ListPlaybackKeyPairs(ctx context.Context, in *ivsapi.ListPlaybackKeyPairsRequest) (*ivsapi.ListPlaybackKeyPairsResponse, error) {
	rows, next, err := c.list(ctx, "ListPlaybackKeyPairs", live.TypePlaybackKey, in.MaxResults, in.NextToken, maxPage)
	if err != nil {
		return nil, err
	}
	list, err := read(rows, func(row store.Row) (ivsapi.PlaybackKeyPairSummary, error) {
		return ivsapi.PlaybackKeyPairSummary{Arn: new(row.ARN.String()), Name: &row.Name, Tags: tagsOf(row.Tags)}, nil
	})
	if err != nil {
		return nil, err
	}
	return &ivsapi.ListPlaybackKeyPairsResponse{KeyPairs: list, NextToken: next}, nil
}

// DeletePlaybackKeyPair removes a key pair, whether tokens signed with it are about or not.
func (c *Control) DeletePlaybackKeyPair(ctx context.Context, in *ivsapi.DeletePlaybackKeyPairRequest) (*ivsapi.DeletePlaybackKeyPairResponse, error) {
	err := c.store.Tx(ctx, func(tx *store.Tx) error {
		row, err := c.row(ctx, tx, in.Arn, live.TypePlaybackKey)
		if err != nil {
			return err
		}
		return tx.Delete(ctx, row.ARN)
	})
	if err != nil {
		return nil, err
	}
	return &ivsapi.DeletePlaybackKeyPairResponse{}, nil
}

func wirePlaybackKey(k live.PlaybackKey) *ivsapi.PlaybackKeyPair {
	return &ivsapi.PlaybackKeyPair{Arn: new(k.ARN.String()), Name: &k.Name, Fingerprint: &k.Fingerprint, Tags: tagsOf(k.Tags)}
}
