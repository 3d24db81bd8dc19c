// Package config is the program's configuration: the struct, its defaults, where
// values come from, the rules they must keep, and how it prints. It reads no
// environment by itself and opens nothing but the configuration file; what a value
// means is up to the package that is given it.
//
// A key is one field of Config. Its flag and YAML name is the field's name in
// kebab case (DataDir is --data-dir and data-dir), its environment variable the same
// in upper case (SLUICE_DATA_DIR); its doc and default are the field's tags. A later
// source wins: defaults, then the file named by --config or SLUICE_CONFIG, then
// SLUICE_* variables, then flags. A key nobody knows is an error in all of them, and
// an empty value is a value: SLUICE_RTMP= turns the listener off.
package config

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/alecthomas/kong"
)

// Config is the whole configuration. Each field is one key; see the package comment.
type Config struct {
	DataDir string `default:"./sluice-data" help:"Directory of everything Sluice keeps on this machine: database, queues, recordings, first-run credentials, certificates."`

	HTTP                 string        `default:":8080" help:"Address of the API, playback, console, metrics and health, as host:port; port 0 picks a free one."`
	TLSCert              string        `help:"PEM file with the certificate chain for the HTTP and RTMPS listeners. With tls-key it turns the HTTP listener to HTTPS. Read again when it changes."`
	TLSKey               string        `help:"PEM file with the private key of tls-cert."`
	RTMP                 string        `default:":1935" help:"Address of RTMP ingest; empty turns it off."`
	RTMPS                string        `default:":1936" help:"Address of RTMPS ingest; empty turns it off. Without tls-cert it uses a self-made certificate."`
	RTMPURL              URL           `name:"rtmp-url" help:"Where encoders that ask (GetClientConfiguration, FindIngest) find RTMP ingest, such as rtmp://live.example.com/app. Empty takes the host of public-url, or of the request, and the port of rtmp."`
	RTMPSURL             URL           `name:"rtmps-url" help:"The same for RTMPS, such as rtmps://live.example.com:443/app."`
	SRT                  string        `name:"srt" default:":9000" help:"Address of SRT ingest, a UDP port; empty turns it off."`
	SRTLatency           time.Duration `name:"srt-latency" default:"120ms" help:"Least delay of media over SRT, in which lost packets are sent again, 20ms to 10s: four times the round trip to the encoders. An encoder may ask for more."`
	PublicURL            URL           `help:"Base URL that clients reach this server at, such as https://live.example.com. Empty derives it from each request's Host."`
	TrustedProxies       CIDRs         `help:"Networks, as CIDRs or addresses, of proxies whose X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host are believed."`
	GeoIP                string        `name:"geoip" help:"Database of countries in MaxMind's format, such as GeoLite2-Country.mmdb, for playback restriction policies. Empty: nobody's country is known. Read again when it changes."`
	CountryHeader        string        `help:"Header in which a proxy of trusted-proxies says the viewer's country as two letters, such as CF-IPCountry; it counts before geoip."`
	MaxConnections       int           `default:"65536" help:"Most HTTP connections open at once; more wait to be accepted."`
	MaxViewerConnections int           `default:"0" help:"Open HTTP connections past which new viewers are told to come back later, while those who watch go on; 0 for no such limit. Players have one to six."`
	MaxViewerBandwidth   int           `default:"0" help:"Megabits per second of playback past which new viewers are told to come back later, while those who watch go on; 0 for no such limit."`
	MaxPublishers        int           `default:"1000" help:"Most encoders connected to this node at once; more are refused."`

	WebRTC          string    `name:"webrtc" default:":8189" help:"UDP address of the media of WebRTC ingest; empty turns WebRTC off. Its signalling is on the HTTP listener: /v1/offer for the IVS web broadcast SDK, /whip for WHIP. Needs ffmpeg for sound."`
	WebRTCTCP       string    `name:"webrtc-tcp" help:"TCP address of the same, for networks that let no UDP out; empty for none."`
	WebRTCAddresses Addresses `name:"webrtc-addresses" help:"Public IP addresses to announce for webrtc and webrtc-tcp beside those of this machine: behind NAT, those that lead here."`

	Account string `default:"123456789012" help:"AWS account id that new access keys belong to: 12 digits."`
	Region  string `default:"us-west-2" help:"Region of the console and the demo channel. API requests carry their own."`

	PolicyDir string `help:"Directory of IAM users, roles and policies of account, as JSON files; empty for none. Changes take effect within two seconds."`

	Store      string `help:"Database: postgres://user:password@host/name, or empty for SQLite in data-dir."`
	StoreCache Bytes  `default:"64MiB" help:"Memory for resources that were read from the database, up to 64GiB; 0 keeps none. Of PostgreSQL it keeps pages of lists, and asks each time if they are what they were."`
	Bus        string `help:"Message bus: nats://host,host,..., or empty for one inside this process."`
	Blob       string `help:"Objects: s3://bucket?endpoint=https://host&region=..., or empty for the directory blob in data-dir. Credentials come from the AWS environment."`

	Quotas string `default:"self-hosted" help:"Limits on requests and resources of an account: self-hosted (only what clients rely on), aws (the published quotas), or a file as the command quotas prints it."`

	IngestLimits   string `default:"ivs" help:"Limits on what an encoder may send, by the type of its channel: ivs (bit rate, resolution and frame rate as IVS has them; over one it is disconnected) or off."`
	MetricChannels int    `default:"200" help:"Most live channels with Prometheus metrics of their own (bit rates, frame rate, keyframe interval), 0 to 100000; the rest are only in the sums."`

	Audit         string `default:"on" help:"Log of API calls, in the form of CloudTrail: on (the directory audit in data-dir), off, or a directory."`
	AuditMaxSize  Bytes  `default:"32MiB" help:"Size at which a file of the audit log is followed by the next, 64KiB to 16GiB."`
	AuditMaxFiles int    `default:"10" help:"Files of the audit log that are kept, 2 to 100000: as many for calls with a valid signature as for those without."`

	Roles     Roles  `default:"all" help:"What this node does: all, or a comma-separated list of control (the API), media (ingest and playback) and edge (playback of what other nodes ingest)."`
	Node      string `help:"Name of this node, unique in the cluster. Empty makes one up at first start and keeps it in data-dir."`
	OriginURL URL    `help:"Base URL where other nodes fetch this node's streams, and to which nodes without the role edge send viewers of them. Empty takes public-url, or the address of http if it is that of one machine."`

	EdgeCache Bytes `default:"256MiB" help:"Memory for media and playlists of other nodes' streams that viewers of this node play, 1MiB to 1024GiB. Some 40 s of each rendition that is watched are enough."`

	HLSPart           time.Duration `default:"200ms" help:"Target duration of an LL-HLS part, 100ms to 2s. Shorter parts mean less latency and more requests."`
	HLSWindow         time.Duration `default:"30s" help:"How far back a live playlist reaches, 6s to 10m."`
	HLSKeep           time.Duration `default:"30s" help:"How long media can still be fetched after it left the playlist, 1s to 10m: by slow viewers, by caches, and by the IVS player, which measures its bandwidth with old segments. It is kept in memory."`
	Transcode         string        `default:"x264" help:"Encoder of the renditions that a channel's type promises and its encoder does not send, by ffmpeg: x264, vaapi, nvenc, qsv, or off to pass on only what encoders send."`
	TranscodeCapacity int           `default:"0" help:"What this node may transcode at once, in megapixels per second of all renditions (720p30 has 28); past it the largest renditions are left out. 0 means 60 for each core."`
	TranscodeOnView   bool          `help:"Begin to transcode a stream when its first viewer comes. Players that came before have only what the encoder sends."`

	PlaybackURLForm string `default:"ivs" help:"Form of playback URLs: ivs has /live-video.net/api/video/ in its path, which the Amazon IVS player needs for low latency; short has /api/video/."`

	ReadyFile    string        `help:"File to write as JSON once every listener is up: addresses, first access key, process id."`
	Demo         bool          `help:"Create a channel named demo and publish a moving test picture to it."`
	DrainTimeout time.Duration `default:"10s" help:"How long a stop may take before what is left is cut off, 1s to 10m."`
	LogLevel     slog.Level    `default:"INFO" help:"Least level that is logged: DEBUG, INFO, WARN or ERROR."`
	LogFormat    string        `default:"json" help:"Form of the log: json or text."`
}

// Flags is Config with the flag that names its file. Embed it in a kong command
// tree, at the root so that every command takes the keys, and give the parser
// Resolver; parsing then fills and validates Config.
type Flags struct {
	File   string `name:"config" placeholder:"FILE" help:"YAML file with any of the keys below."`
	Config Config `embed:""`
}

// Validate makes kong validate the configuration as the last step of parsing.
func (f *Flags) Validate() error { return f.Config.Validate() }

// Load returns the configuration of a program without commands: args are flags only,
// environ is in the form of os.Environ.
func Load(args, environ []string) (Config, error) {
	var f Flags
	p, err := parser(&f, Resolver(environ))
	if err != nil {
		return Config{}, err
	}
	if _, err := p.Parse(args); err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	return f.Config, nil
}

// Default returns the configuration without any source.
func Default() (Config, error) { return Load(nil, nil) }

func parser(f *Flags, opts ...kong.Option) (*kong.Kong, error) {
	p, err := kong.New(f, append(opts, kong.NoDefaultHelp(), kong.Writers(io.Discard, io.Discard))...)
	if err != nil { // a tag of Config is wrong; every test of this package would fail
		return nil, fmt.Errorf("config: %w", err)
	}
	return p, nil
}
