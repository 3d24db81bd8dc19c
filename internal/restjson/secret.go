package restjson

import (
	"fmt"
	"log/slog"
)

// hidden stands for a secret wherever one would be printed.
const hidden = "[hidden]"

// A Secret is a string of a sensitive shape: a stream key, metadata, a token. fmt,
// slog and encoding/json all print a placeholder; string(s) is the value.
type Secret string

// Format implements fmt.Formatter, and so covers every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText implements encoding.TextMarshaler. The API's own bodies do not use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// A SecretMap is a map of a sensitive shape; it prints as a Secret does.
type SecretMap map[string]string

// Format implements fmt.Formatter.
func (m SecretMap) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// LogValue implements slog.LogValuer.
func (m SecretMap) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText implements encoding.TextMarshaler.
func (m SecretMap) MarshalText() ([]byte, error) { return []byte(hidden), nil }
