package webrtc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/sdp/v3"
	pion "github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/internal/live"
)

// answerTime bounds what is between an offer and its answer: no network is asked.
const answerTime = 5 * time.Second

// connect makes a connection of an offer and returns it with the answer. handle is told
// of the connection before anything can arrive on it.
func (s *Server) connect(ctx context.Context, o *offer, handle func(*pion.PeerConnection)) (pc *pion.PeerConnection, answer string, err error) {
	defer func() {
		if p := recover(); p != nil { // an offer must not cost more than an error
			err = fmt.Errorf("webrtc: answer: %v", p)
		}
		if err != nil && pc != nil {
			err = errors.Join(err, pc.GracefulClose())
			pc = nil
		}
	}()
	api, err := s.api(o)
	if err != nil {
		return nil, "", err
	}
	if pc, err = api.NewPeerConnection(pion.Configuration{}); err != nil {
		return nil, "", fmt.Errorf("webrtc: %w", err)
	}
	handle(pc)
	if err := pc.SetRemoteDescription(pion.SessionDescription{Type: pion.SDPTypeOffer, SDP: o.sdp}); err != nil {
		return pc, "", unanswerable(err)
	}
	d, err := pc.CreateAnswer(nil)
	if err != nil {
		return pc, "", unanswerable(err)
	}
	gathered := pion.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(d); err != nil {
		return pc, "", fmt.Errorf("webrtc: answer: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	select { // the answer must carry every candidate: there is no second message
	case <-gathered:
	case <-ctx.Done():
		return pc, "", fmt.Errorf("webrtc: candidates: %w", ctx.Err())
	}
	return pc, pc.LocalDescription().SDP, nil
}

func unanswerable(err error) error {
	return &live.Error{Kind: live.Invalid, Detail: "The SDP offer cannot be answered.", Err: err}
}

// api is pion, made to take what was picked of the offer and nothing else.
func (s *Server) api(o *offer) (*pion.API, error) {
	settings, err := s.settings()
	if err != nil {
		return nil, err
	}
	var m pion.MediaEngine
	codecs := []struct {
		kind  pion.RTPCodecType
		codec pion.RTPCodecParameters
	}{{pion.RTPCodecTypeVideo, pion.RTPCodecParameters{
		PayloadType: pion.PayloadType(o.video.payload),
		RTPCodecCapability: pion.RTPCodecCapability{
			MimeType: pion.MimeTypeH264, ClockRate: 90000, SDPFmtpLine: o.video.fmtp,
			RTCPFeedback: []pion.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}},
		},
	}}}
	if o.audio != nil {
		codecs = append(codecs, struct {
			kind  pion.RTPCodecType
			codec pion.RTPCodecParameters
		}{pion.RTPCodecTypeAudio, pion.RTPCodecParameters{
			PayloadType: pion.PayloadType(o.audio.payload),
			RTPCodecCapability: pion.RTPCodecCapability{
				MimeType: pion.MimeTypeOpus, ClockRate: opusRate, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1;stereo=1",
			},
		}})
	}
	for _, c := range codecs {
		if err := m.RegisterCodec(c.codec, c.kind); err != nil {
			return nil, fmt.Errorf("webrtc: %w", err)
		}
		// Tells tracks apart whose sender does not announce its sources.
		if err := m.RegisterHeaderExtension(pion.RTPHeaderExtensionCapability{URI: sdp.SDESMidURI}, c.kind); err != nil {
			return nil, fmt.Errorf("webrtc: %w", err)
		}
	}
	var all interceptor.Registry
	ask, err := nack.NewGeneratorInterceptor(
		nack.GeneratorInterval(20*time.Millisecond), nack.GeneratorSize(reorderSize), nack.GeneratorMaxNacksPerPacket(8))
	if err != nil {
		return nil, fmt.Errorf("webrtc: %w", err)
	}
	reports, err := report.NewReceiverInterceptor()
	if err != nil {
		return nil, fmt.Errorf("webrtc: %w", err)
	}
	all.Add(ask)
	all.Add(reports)
	// Without it a browser never finds out that it may send more than a little.
	if err := pion.ConfigureTWCCSender(&m, &all); err != nil {
		return nil, fmt.Errorf("webrtc: %w", err)
	}
	return pion.NewAPI(pion.WithMediaEngine(&m), pion.WithSettingEngine(settings), pion.WithInterceptorRegistry(&all)), nil
}
