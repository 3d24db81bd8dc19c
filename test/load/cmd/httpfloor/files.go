package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path"
	"strconv"
)

// maxFiles and maxBytes bound what is held in memory.
const (
	maxFiles = 10_000
	maxBytes = 1 << 30
)

// file is one response, ready to send.
type file struct {
	body   []byte
	header http.Header // for net/http
	head   []byte      // status line and header, for lean
}

// files are what is served, by URL path.
type files map[string]*file

var errTooMuch = errors.New("httpfloor: the directory is too large for memory")

func load(dir string) (files, error) {
	out := files{}
	total := 0
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		if total += len(body); total > maxBytes || len(out) == maxFiles {
			return errTooMuch
		}
		out["/"+name] = newFile(name, body)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("httpfloor: %w", err)
	}
	return out, nil
}

func newFile(name string, body []byte) *file {
	kind := "application/octet-stream"
	switch path.Ext(name) {
	case ".m3u8":
		kind = "application/vnd.apple.mpegurl"
	case ".mp4", ".m4s":
		kind = "video/mp4"
	case ".ts":
		kind = "video/mp2t"
	}
	f := &file{body: body, header: http.Header{
		"Content-Type":                {kind},
		"Cache-Control":               {"no-cache"},
		"Access-Control-Allow-Origin": {"*"},
		"Content-Length":              {strconv.Itoa(len(body))},
	}}
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 200 OK\r\n")
	_ = f.header.Write(&head) // a Buffer takes everything
	head.WriteString("\r\n")
	f.head = head.Bytes()
	return f
}

// ServeHTTP implements http.Handler.
func (f files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := f[r.URL.Path]
	if e == nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	for k, v := range e.header {
		h[k] = v
	}
	w.Write(e.body)
}

// answer serves one connection until it ends or sends something that is no GET.
func (f files) answer(c net.Conn) {
	br := bufio.NewReaderSize(c, 4096) // the longest line
	for {
		line, err := br.ReadSlice('\n')
		if err != nil {
			return
		}
		target, ok := bytes.CutPrefix(line, []byte("GET "))
		if !ok {
			return
		}
		target, _, _ = bytes.Cut(target, []byte(" "))
		target, _, _ = bytes.Cut(target, []byte("?"))
		e := f[string(target)]
		for blank := false; !blank; {
			if line, err = br.ReadSlice('\n'); err != nil {
				return
			}
			blank = len(line) <= 2
		}
		if e == nil {
			if _, err := c.Write([]byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")); err != nil {
				return
			}
			continue
		}
		bufs := net.Buffers{e.head, e.body}
		if _, err := bufs.WriteTo(c); err != nil {
			return
		}
	}
}
