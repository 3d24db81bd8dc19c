// Command httpfloor marks what a Go process can reach at best for HLS egress: it serves
// a directory from memory, without any live logic, to hlsload -mode paced. It is a
// yardstick and not a product.
//
//	nethttp  net/http, with prebuilt header values and one Write
//	lean     a goroutine for each connection, the request line parsed by hand, header
//	         and body in one writev
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/sluice-live/sluice/test/load/internal/command"
	"github.com/sluice-live/sluice/test/load/internal/loopback"
)

type config struct {
	addr, dir, mode string
}

func (c *config) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.addr, "addr", "127.0.0.1:8091", "listen address")
	fs.StringVar(&c.dir, "dir", ".", "directory to load into memory")
	fs.StringVar(&c.mode, "mode", "nethttp", "nethttp or lean")
}

// result is empty: the server runs until it is told to stop.
type result struct{}

func main() {
	var c config
	os.Exit(command.Main("httpfloor", c.flags, func(ctx context.Context) (*result, error) {
		ln, err := loopback.Listen(ctx, c.addr)
		if err != nil {
			return nil, err
		}
		return nil, serve(ctx, ln, c)
	}))
}

// serve serves on ln until ctx is done, and closes ln.
func serve(ctx context.Context, ln net.Listener, c config) error {
	defer ln.Close()
	files, err := load(c.dir)
	if err != nil {
		return err
	}
	switch c.mode {
	case "nethttp":
		srv := &http.Server{Handler: files}
		defer context.AfterFunc(ctx, func() { _ = srv.Close() })() // Serve says how it ended
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	case "lean":
		return files.serveLean(ctx, ln)
	}
	return fmt.Errorf("httpfloor: unknown mode %q", c.mode)
}

func (f files) serveLean(ctx context.Context, ln net.Listener) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	for {
		c, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("httpfloor: %w", err)
		}
		wg.Go(func() {
			defer c.Close()
			defer context.AfterFunc(ctx, func() { c.Close() })()
			f.answer(c)
		})
	}
}
