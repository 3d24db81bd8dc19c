package node

import (
	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/ingest/webrtc"
)

// listenWebRTC binds what carries the media of WebRTC; its signalling is a route.
func (n *node) listenWebRTC(guard *ingest.Guard) (err error) {
	if n.cfg.WebRTC == "" {
		return nil
	}
	n.rtc, err = webrtc.Listen(webrtc.Config{
		UDP: n.cfg.WebRTC, TCP: n.cfg.WebRTCTCP, Addresses: n.cfg.WebRTCAddresses,
		Log: n.log, Metrics: n.reg, MaxPeers: n.cfg.MaxPublishers, Guard: guard,
	}, n.streams)
	if err != nil {
		return err
	}
	n.ready.WebRTC = n.rtc.Addr().String()
	return nil
}
