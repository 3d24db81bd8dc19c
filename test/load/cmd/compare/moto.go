//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// moto is a peer for the API alone: AWS's services as mocks, in Python. It is the user's
// own, as every peer is.
type moto struct {
	python string // that can import it
	filled int    // channels that it holds when it takes its first request
}

// motoFew is a number of channels so small that looking through all of them, as moto does
// to find one, costs next to nothing: what is left is what it spends on a request.
const motoFew = 200

// motoRegion is where the channels are.
const motoRegion = "us-west-2"

// findMoto returns moto with as many channels as Sluice has, and with few, if the Python
// interpreter at path, or the installed one, has it.
func findMoto(ctx context.Context, path string, channels int) ([]system, error) {
	if path == "" {
		path = "python3"
	}
	if err := exec.CommandContext(ctx, path, "-c", "import moto.server, moto.ivs").Run(); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &skipped{path + " has no moto (pip install 'moto[server]')"}
	}
	return []system{&moto{path, channels}, &moto{path, motoFew}}, nil
}

func (m *moto) name() string { return fmt.Sprintf("moto, %d channels", m.filled) }

func (m *moto) version(ctx context.Context) string {
	return "moto " + versionOf(ctx, m.python, "-c", "import moto; print(moto.__version__)")
}

func (m *moto) containers() []container { return nil }

func (m *moto) measures() []string { return []string{"api"} }

// motoServer is moto_server that makes channels before it serves: by its API that would
// take minutes. It creates them as the load does.
const motoServer = `
import sys
from moto.ivs.models import ivs_backends
from moto.server import main

region, count = sys.argv[1], int(sys.argv[2])
ivs = ivs_backends["123456789012"][region]  # the account of a key that it does not know
for n in range(count):
    ivs.create_channel(False, False, "LOW", f"bench-{n}", "", "", {"k": "v"}, "STANDARD")
main(sys.argv[3:])
`

func (m *moto) start(ctx context.Context, dir string, _ mode) (*instance, error) {
	addrs, err := freeAddrs(1)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(addrs[0])
	if err != nil {
		return nil, err
	}
	program := filepath.Join(dir, "moto_with_channels.py")
	if err := os.WriteFile(program, []byte(strings.TrimPrefix(motoServer, "\n")), 0o600); err != nil {
		return nil, err
	}
	in, err := launch(ctx, m.python, dir, []string{program, motoRegion, strconv.Itoa(m.filled), "-H", host, "-p", port},
		func() (bool, error) { return listening(ctx, addrs...) })
	if err != nil {
		return nil, err
	}
	in.http, in.access = addrs[0], access{keyID: "moto", secret: "moto", region: motoRegion} // it checks no signature
	return in, nil
}

func (m *moto) channels(context.Context, *instance, int, container) ([]channel, error) {
	return nil, errors.New("moto carries no media")
}
