package store_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

func TestNoSecretIsPrinted(t *testing.T) {
	const secret = "hidden"
	key := store.AccessKey{ID: "AKIA1", Secret: secret, Account: "123456789012"}
	row := store.Row{
		ARN:  live.ARN{Service: "ivs", Region: "us-west-2", Account: "123456789012", Type: "channel", ID: "c"},
		Body: []byte(secret),
	}
	for name, v := range map[string]any{
		"AccessKey": key, "*AccessKey": &key, "[]AccessKey": []store.AccessKey{key},
		"Row": row, "*Row": &row, "[]Row": []store.Row{row},
		"Item": store.Item[string]{Row: row, Value: secret}, "[]Item": []store.Item[string]{{Row: row, Value: secret}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			fmt.Fprintf(&out, "%v\n%+v\n%#v\n%s\n", v, v, v, v)
			if !strings.HasPrefix(name, "[]") { // slog's JSON takes the elements of a slice as they are
				slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
			}
			slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
			if strings.Contains(out.String(), secret) || bytes.Contains(out.Bytes(), fmt.Append(nil, []byte(secret))) {
				t.Errorf("printed:\n%s", &out)
			}
			if !strings.Contains(out.String(), "123456789012") {
				t.Errorf("printed nothing to tell it by:\n%s", &out)
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	for name, tt := range map[string]struct{ url, want string }{
		"no url":                {"", "no database"},
		"another engine":        {"mysql://user:hidden@localhost/db", `"mysql"`},
		"directory is missing":  {filepath.Join(t.TempDir(), "none", "db"), "no such file"},
		"path is a directory":   {t.TempDir(), "is a directory"},
		"malformed URL":         {"postgres://user:hidden@localhost:port/db", "port"},
		"server does not exist": {"postgres://user:hidden@127.0.0.1:1/db?sslmode=disable", "connect"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := store.Open(t.Context(), tt.url)
			if err == nil {
				s.Close()
				t.Fatal("Open succeeded")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("error = %q, want one with %q and no password", err, tt.want)
			}
		})
	}
}
