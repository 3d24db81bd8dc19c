package playback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Countries knows which country an address is in, by a database in MaxMind's format that
// has countries: GeoLite2, GeoIP2 and others, by country or finer. The file is read again
// when it changes. A nil one knows nothing.
type Countries struct {
	log  *slog.Logger
	path string
	db   atomic.Pointer[maxminddb.Reader]
	seen stamp // of the file that db is from, or that could not be read; Run's, after OpenCountries
}

// A stamp tells one version of a file from the next.
type stamp struct {
	modified time.Time
	size     int64
}

// maxDatabase bounds what is read into memory, in bytes. A database of cities has 60 MB.
const maxDatabase = 1 << 30

// recheck is how often the file is looked at.
const recheck = 2 * time.Second

// OpenCountries reads a database.
func OpenCountries(log *slog.Logger, path string, reg prometheus.Registerer) (*Countries, error) {
	c := &Countries{log: log, path: path}
	seen, err := c.stamp()
	if err != nil {
		return nil, err
	}
	if err := c.load(seen); err != nil {
		return nil, err
	}
	promauto.With(reg).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sluice_geoip_built_timestamp_seconds", Help: "When the database of countries in use was made, in seconds since 1970.",
	}, func() float64 { return float64(c.db.Load().Metadata.BuildEpoch) })
	return c, nil
}

// Run reads the file again when it changes, until ctx is done. A file that cannot be used
// leaves the database before it in use.
func (c *Countries) Run(ctx context.Context) error {
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	gone := false // the file was not there at the newest look
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		seen, err := c.stamp()
		if err != nil {
			if !gone {
				c.log.Warn("database of countries not found, the one before stays", "err", err)
			}
			gone = true
			continue
		}
		gone = false
		if seen == c.seen {
			continue
		}
		if err := c.load(seen); err != nil {
			c.log.Error("database of countries not usable, the one before stays", "err", err)
			continue
		}
		c.log.Info("database of countries read", "built", c.db.Load().Metadata.BuildTime().UTC())
	}
}

func (c *Countries) stamp() (stamp, error) {
	fi, err := os.Stat(c.path)
	if err != nil {
		return stamp{}, fmt.Errorf("playback: database of countries: %w", err)
	}
	return stamp{fi.ModTime(), fi.Size()}, nil
}

// load reads the file, which looked like seen before: a change in between is seen next
// time. It is not mapped into memory: whoever overwrites it would change what is in use.
func (c *Countries) load(seen stamp) error {
	c.seen = seen
	f, err := os.Open(c.path)
	if err != nil {
		return fmt.Errorf("playback: database of countries: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxDatabase+1))
	if err != nil {
		return fmt.Errorf("playback: database of countries: %w", err)
	}
	if len(b) > maxDatabase {
		return fmt.Errorf("playback: database of countries: %s is larger than %d bytes", c.path, maxDatabase)
	}
	db, err := maxminddb.OpenBytes(b)
	if err != nil {
		return fmt.Errorf("playback: database of countries: %s: %w", c.path, err)
	}
	if err := usable(db); err != nil {
		return fmt.Errorf("playback: database of countries: %s: %w", c.path, err)
	}
	c.db.Store(db)
	return nil
}

// usable refuses a database of something else, in which nobody is from anywhere and so
// everybody would be let in. It looks for one country, among so many networks.
func usable(db *maxminddb.Reader) error {
	const most = 10000
	n := 0
	for network := range db.Networks() {
		if country, err := countryOf(network); err != nil {
			return err
		} else if country != "" {
			return nil
		}
		if n++; n == most {
			break
		}
	}
	return errors.New("it has no countries")
}

func countryOf(r maxminddb.Result) (string, error) {
	var code string
	if err := r.DecodePath(&code, "country", "iso_code"); err != nil {
		return "", err
	}
	return strings.ToUpper(code), nil
}

// Of returns the ISO 3166-1 alpha-2 code of the country of an address, "" if it is not
// known.
func (c *Countries) Of(addr netip.Addr) string {
	if c == nil || !addr.IsValid() {
		return ""
	}
	code, err := countryOf(c.db.Load().Lookup(addr))
	if err != nil || len(code) != 2 { // a record that is broken says nothing
		return ""
	}
	return code
}
