package node

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/principal"
	"github.com/sluice-live/sluice/internal/sigv4"
	"github.com/sluice-live/sluice/internal/store"
)

// NewAccessKey makes an access key of a user with AWS's forms: an id of AKIA and 16
// capitals and digits, a secret of 40 characters.
func NewAccessKey(account, user string, now time.Time) (store.AccessKey, error) {
	if err := principal.CheckName(user); err != nil {
		return store.AccessKey{}, err
	}
	const capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" // 32, so no byte is favoured
	var raw [16 + 30]byte
	_, _ = rand.Read(raw[:]) // never fails
	id := []byte("AKIA")
	for _, b := range raw[:16] {
		id = append(id, capitals[b%32])
	}
	return store.AccessKey{
		ID: string(id), Secret: base64.StdEncoding.EncodeToString(raw[16:]), Account: account,
		Principal: principal.ARN(account, principal.User, user), Created: now,
	}, nil
}

// newAdminKey makes a key that may do everything in its account, whatever policies say.
func newAdminKey(account string) (store.AccessKey, error) {
	k, err := NewAccessKey(account, "administrator", time.Now())
	k.Admin = true
	return k, err
}

// credentialsFile holds the first administrator key, in the form of
// AWS_SHARED_CREDENTIALS_FILE.
const credentialsFile = "credentials"

// adminKey returns the administrator's key: the one given by the environment, which is
// stored if it is new, or the one in the data directory, which the first start makes.
func adminKey(ctx context.Context, st *store.Store, cfg config.Config, id, secret string) (store.AccessKey, error) {
	if id != "" {
		k, err := newAdminKey(cfg.Account)
		if err != nil {
			return k, err
		}
		k.ID, k.Secret = id, secret
		return k, replaceKey(ctx, st, k)
	}
	name := filepath.Join(cfg.DataDir, credentialsFile)
	if b, err := os.ReadFile(name); err == nil {
		have, err := st.AccessKey(ctx, field(string(b), "aws_access_key_id"))
		if err == nil {
			return have, nil
		} else if !errors.Is(err, store.ErrNotFound) {
			return store.AccessKey{}, err
		} // deleted, or of another database: make a new one
	}
	k, err := newAdminKey(cfg.Account)
	if err != nil {
		return k, err
	}
	// The file goes first: a key that is in the store only, because we were killed in
	// between, would be one that works and nobody knows.
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", k.ID, k.Secret)
	if err := writeFile(name, text); err != nil {
		return k, err
	}
	return k, st.CreateAccessKey(ctx, k)
}

// replaceKey stores k, over a key of the same id with another secret.
func replaceKey(ctx context.Context, st *store.Store, k store.AccessKey) error {
	have, err := st.AccessKey(ctx, k.ID)
	switch {
	case err == nil && have.Secret == k.Secret && have.Account == k.Account && have.Admin:
		return nil
	case err == nil:
		if err := st.DeleteAccessKey(ctx, k.ID); err != nil {
			return err
		}
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	err = st.CreateAccessKey(ctx, k)
	if errors.Is(err, store.ErrExists) { // another node of the cluster was first
		return nil
	}
	return err
}

// field reads one setting of a credentials file.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, "="); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// writeFile replaces name as a whole; only its owner may read it.
func writeFile(name, text string) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	defer os.Remove(tmp.Name()) // gone already when all went well
	_, err = tmp.WriteString(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return nil
}

// keyTTL is how long a key that was deleted may still work.
const keyTTL = time.Second

// maxCachedKeys bounds the cache; ids that do not exist are not kept.
const maxCachedKeys = 10000

// keyring finds keys in the store and remembers them for keyTTL.
type keyring struct {
	store *store.Store
	now   func() time.Time

	mu   sync.Mutex
	seen map[string]cachedKey // guarded by mu
}

type cachedKey struct {
	sigv4.Credential
	until time.Time
}

func newKeyring(st *store.Store) *keyring {
	return &keyring{store: st, now: time.Now, seen: map[string]cachedKey{}}
}

// get finds a lasting key.
func (k *keyring) get(ctx context.Context, id string) (sigv4.Credential, error) {
	k.mu.Lock()
	c, ok := k.seen[id]
	k.mu.Unlock()
	if ok && k.now().Before(c.until) {
		return c.Credential, nil
	}
	key, err := k.store.AccessKey(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return sigv4.Credential{}, live.NotFound
	} else if err != nil {
		return sigv4.Credential{}, err
	}
	c = cachedKey{sigv4.Credential{
		Secret: key.Secret, Account: key.Account, Principal: key.Principal, Admin: key.Admin,
	}, k.now().Add(keyTTL)}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.seen) >= maxCachedKeys {
		clear(k.seen)
	}
	k.seen[id] = c
	return c.Credential, nil
}
