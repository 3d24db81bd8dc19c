package origin

import (
	"io"
	"net/http"
	"time"
)

// readerAt reads shared chunks as if they were one run of bytes; only byte ranges need it.
type readerAt [][]byte

func (b readerAt) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for _, c := range b {
		if off >= int64(len(c)) {
			off -= int64(len(c))
			continue
		}
		k := copy(p[n:], c[off:])
		n, off = n+k, 0
		if n == len(p) {
			return n, nil
		}
	}
	return n, io.EOF
}

// modified is no time: a segment never changes.
var modified time.Time

// counter counts what goes to the viewer.
type counter struct {
	http.ResponseWriter
	bytes int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.bytes += int64(n)
	return n, err
}
