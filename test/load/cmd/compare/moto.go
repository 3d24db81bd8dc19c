//go:build linux

package main

import (
	"context"
	"errors"
	"net"
	"os/exec"
)

// moto is a peer for the API alone: AWS's services as mocks, in Python. It is the user's
// own, as every peer is.
type moto struct{ bin string }

// findMoto returns the moto_server at path, or the one that is installed.
func findMoto(path string) (*moto, error) {
	if path == "" {
		path = "moto_server"
	}
	bin, err := exec.LookPath(path)
	if err != nil {
		return nil, &skipped{"moto_server is not installed (pip install 'moto[server]')"}
	}
	return &moto{bin}, nil
}

func (m *moto) name() string { return "moto" }

func (m *moto) version(ctx context.Context) string {
	return "moto " + versionOf(ctx, "python3", "-c", "import moto; print(moto.__version__)")
}

func (m *moto) containers() []container { return nil }

func (m *moto) measures() []string { return []string{"api"} }

func (m *moto) start(ctx context.Context, dir string, _ mode) (*instance, error) {
	addrs, err := freeAddrs(1)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(addrs[0])
	if err != nil {
		return nil, err
	}
	in, err := launch(ctx, m.bin, dir, []string{"-H", host, "-p", port}, func() (bool, error) { return listening(ctx, addrs...) })
	if err != nil {
		return nil, err
	}
	in.http, in.access = addrs[0], access{keyID: "moto", secret: "moto", region: "us-west-2"} // it checks no signature
	return in, nil
}

func (m *moto) channels(context.Context, *instance, int, container) ([]channel, error) {
	return nil, errors.New("moto carries no media")
}
