//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// postgres is a PostgreSQL server with its own defaults, which sync each commit to disk.
type postgres struct {
	dir string
	url string
	in  *instance
}

// startPostgres starts the newest server that Debian's packages installed. It trusts
// whoever connects, on loopback.
func startPostgres(ctx context.Context) (_ *postgres, err error) {
	bin := newestPostgres()
	if bin == "" {
		return nil, &skipped{"there is no PostgreSQL server (apt install postgresql)"}
	}
	dir, err := os.MkdirTemp("", "sluice-pg-") // not below the benchmark's, which is for its user only
	if err != nil {
		return nil, err
	}
	p := &postgres{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.stop())
		}
	}()
	owner, err := unprivileged()
	if err != nil {
		return nil, err
	}
	if owner != nil {
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return nil, err
		}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=sluice", "--auth=trust", "--encoding=UTF8")
	initdb.Dir, initdb.SysProcAttr = dir, &syscall.SysProcAttr{Credential: owner}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	addrs, err := freeAddrs(1)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(addrs[0])
	if err != nil {
		return nil, err
	}
	p.in, err = launch(ctx, filepath.Join(bin, "postgres"), dir,
		[]string{"-D", data, "-h", host, "-p", port, "-k", dir},
		func() (bool, error) { return answers(ctx, filepath.Join(bin, "pg_isready"), host, port) },
		func(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Credential: owner} })
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "postgres", User: url.User("sluice"), Host: addrs[0], Path: "/postgres", RawQuery: "sslmode=disable"}
	p.url = u.String()
	return p, nil
}

func answers(ctx context.Context, isReady, host, port string) (bool, error) {
	err := exec.CommandContext(ctx, isReady, "-q", "-h", host, "-p", port).Run()
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return false, nil
	}
	return err == nil, err
}

func (p *postgres) stop() error {
	var err error
	if p.in != nil {
		err = p.in.stop()
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}

// newestPostgres is the directory of the binaries with the highest version; "" for none.
func newestPostgres() (bin string) {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is good
	newest := 0
	for _, dir := range dirs {
		v, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		if _, statErr := os.Stat(filepath.Join(dir, "initdb")); err == nil && statErr == nil && v > newest {
			bin, newest = dir, v
		}
	}
	return bin
}

// unprivileged is who runs the server: nil for our own user, except that PostgreSQL
// refuses root.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("no user to run PostgreSQL as: %w", err)
	}
	uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(uidErr, gidErr)
}
