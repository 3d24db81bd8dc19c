package srt

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"
)

// What libsrt 1.5.1 sends: an induction, a conclusion with a stream id of access control,
// and one that encrypts with 24 bytes and wants 200 ms. Without the packet header.
const (
	recordedInduction = "00000004000000025192e359000005dc000020000000000135124608000000000100007f000000000000000000000000"
	recordedPlain     = "00000005000000055192e359000005dc00002000ffffffff35124608123456780100007f0000000000000000000000000001000300010501000000bf007800000005000e755f6b7365772d73322d74736362615f67666564363225687373617061726870613d65737361702072687073206573616f20666f00737275"
	recordedEncrypted = "000000050003000755d03326000005dc00002000ffffffff3dc16c4b123456780100007f0000000000000000000000000001000300010501000000bf00c800c8000500036c6c65686f775f6f31646c72000300101220290100000000020002000000040676e83323d5a6d23f683ba278548f4ec2cd56fbc110473b7a937bbe4f1bf7041182741ac95c0455ffa695021beb795afb"
)

func recorded(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecordedHandshakes(t *testing.T) {
	h, err := parseHandshake(recorded(t, recordedInduction))
	if err != nil || h.typ != hsInduction || h.version != 4 || h.socket != 0x35124608 {
		t.Errorf("induction: %+v, %v", h, err)
	}
	h, err = parseHandshake(recorded(t, recordedPlain))
	if err != nil || h.typ != hsConclusion || h.srtVersion != 0x010501 || h.recvDelay != 120 || h.sendDelay != 0 ||
		h.streamID != "sk_us-west-2_abcdefgh%26passphrase=a passphrase of ours" || h.km != nil || h.unfit() != 0 {
		t.Errorf("conclusion: %+v, %v", h, err)
	}
	h, err = parseHandshake(recorded(t, recordedEncrypted))
	if err != nil || h.streamID != "hello_world1" || h.sendDelay != 200 || h.cipher != 3 || h.unfit() != 0 {
		t.Errorf("encrypted conclusion: %+v, %v", h, err)
	}
	if m, err := parseKeyMaterial(h.km); err != nil || m.keyLength != 24 || m.keys != evenKey {
		t.Errorf("key material: %+v, %v", m, err)
	}
	if err := (&keyring{passphrase: "0123456789abcdef"}).take(h.km); err != nil {
		t.Errorf("the right passphrase: %v", err)
	}
	if err := (&keyring{passphrase: "0123456789abcdeg"}).take(h.km); err == nil {
		t.Error("a wrong passphrase unwraps the key")
	}
}

func TestUnfit(t *testing.T) {
	good := func() handshake {
		return handshake{version: 5, typ: hsConclusion, mtu: 1500, hasHS: true, srtVersion: minVersion, caps: ourCaps}
	}
	for name, tt := range map[string]struct {
		change func(*handshake)
		want   Reason
	}{
		"a caller like libsrt":           {func(*handshake) {}, 0},
		"live congestion control, named": {func(h *handshake) { h.congestion = "live" }, 0},
		"version 4":                      {func(h *handshake) { h.version = 4 }, Version},
		"version 6":                      {func(h *handshake) { h.version = 6 }, Rogue},
		"libsrt 1.2":                     {func(h *handshake) { h.srtVersion = 0x010204 }, Version},
		"no SRT extension":               {func(h *handshake) { h.hasHS = false }, Rogue},
		"packets of 100 bytes":           {func(h *handshake) { h.mtu = 100 }, Rogue},
		"packets of no bytes":            {func(h *handshake) { h.mtu = 0 }, Rogue},
		"stream mode":                    {func(h *handshake) { h.caps |= capStream }, MessageAPI},
		"file congestion control":        {func(h *handshake) { h.congestion = "file" }, Congestion},
		"a packet filter":                {func(h *handshake) { h.filter = true }, Filter},
		"a group":                        {func(h *handshake) { h.group = true }, Group},
	} {
		t.Run(name, func(t *testing.T) {
			h := good()
			tt.change(&h)
			if got := h.unfit(); got != tt.want {
				t.Errorf("unfit() = %v, want %v", got, tt.want)
			}
		})
	}
}

// What parses is written so that it parses to the same.
func FuzzHandshake(f *testing.F) {
	for _, s := range []string{recordedInduction, recordedPlain, recordedEncrypted} {
		b := recorded(f, s)
		f.Add(b)
		f.Add(append(b, 0, 5, 0, 0, 1)) // which ends within an extension's header
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHandshake(b)
		if err != nil {
			return
		}
		again, err := parseHandshake(h.append(nil, netip.MustParseAddr("192.0.2.1")))
		if err != nil {
			t.Fatalf("%+v does not parse when written: %v", h, err)
		}
		if again.streamID != h.streamID || !bytes.Equal(again.km, h.km) || again.typ != h.typ || again.isn != h.isn || again.socket != h.socket {
			t.Fatalf("%+v became %+v", h, again)
		}
	})
}

// No key material makes us read beyond it, or takes a key that does not fit.
func FuzzKeyMaterial(f *testing.F) {
	h, err := parseHandshake(recorded(f, recordedEncrypted))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(h.km)
	_, m, err := newKeys("a passphrase", 32)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m)
	f.Add([]byte{0, 0, 0, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseKeyMaterial(b)
		if err != nil {
			return
		}
		if _, err := unwrap(make([]byte, m.keyLength), m.wrapped); err == nil {
			t.Fatal("a key of zeros unwraps it")
		}
	})
}
