// Package pgtest starts a real PostgreSQL server for a test, from the binaries that the
// machine's packages installed. It is the database side of the store's suite and of
// whatever else wants to run on PostgreSQL; it downloads and installs nothing.
package pgtest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver that creates databases
)

// Require names the environment variable that turns a missing PostgreSQL from a reason
// to skip into a failure. CI sets it.
const Require = "SLUICE_TEST_REQUIRE_POSTGRES"

// binaries is where Debian and Ubuntu put the server, a directory for each major version.
const binaries = "/usr/lib/postgresql/*/bin"

// startTries bounds how often Start looks for a free port: between choosing one and
// the server's bind somebody else can take it.
const startTries = 5

// serve runs a server until its standard input ends, and then removes its directory.
// So a server and its data go whatever ends the test process, kill -9 included.
//
//go:embed serve.sh
var serve string

// A Server is one running PostgreSQL server.
type Server struct {
	host      string // 127.0.0.1:port
	password  string // of the superuser "sluice"
	databases atomic.Int64
}

// Start starts a server that lives until t ends. A test process needs one: the top
// test starts it, and each subtest takes a Database. Without PostgreSQL on the machine
// the test is skipped, or fails if SLUICE_TEST_REQUIRE_POSTGRES is set.
//
// The server listens on 127.0.0.1 and on a socket in its own directory. It never syncs
// its files. Where the version can, its locale orders text unlike its bytes, so that
// code which relies on the order of some locale fails.
func Start(t testing.TB) *Server {
	t.Helper()
	bin, version := newest(t)
	owner, err := unprivileged()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	s := &Server{password: rand.Text()}
	for n := 1; ; n++ {
		err := s.start(t, bin, version, owner)
		if err == nil {
			return s
		}
		if n == startTries {
			t.Fatalf("pgtest: start PostgreSQL %d: %v", version, err)
		}
	}
}

func (s *Server) start(t testing.TB, bin string, version int, owner *syscall.Credential) error {
	dir, err := os.MkdirTemp("", "sluice-pg-") // short: a socket's path has 107 bytes at most
	if err != nil {
		return err
	}
	started := false
	defer func() {
		if !started {
			os.RemoveAll(dir)
		}
	}()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(s.password), 0o600); err != nil {
		return err
	}
	if owner != nil {
		for _, path := range []string{dir, password} {
			if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
				return err
			}
		}
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	s.host = net.JoinHostPort("127.0.0.1", port)

	cmd := exec.Command("/bin/sh", "-euc", serve, "serve", bin, dir, port)
	if version >= 15 {
		cmd.Args = append(cmd.Args, "--locale-provider=icu", "--icu-locale=en-US")
	}
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner, Setpgid: true} // Ctrl-C is not for the server
	var log bytes.Buffer
	cmd.Stderr = &log
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := func() error { return errors.Join(in.Close(), cmd.Wait()) }
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		err = errors.Join(err, stop()) // after stop the log is complete
		return fmt.Errorf("it said %q: %w\n%s", line, err, &log)
	}
	started = true
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("pgtest: stop: %v\n%s", err, &log)
		}
	})
	return nil
}

// Database creates an empty database for t and returns its URL. It goes with the server.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := "t" + strconv.FormatInt(s.databases.Add(1), 10)
	db, err := sql.Open("pgx", s.url("postgres"))
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	defer db.Close()
	if _, err := db.ExecContext(context.WithoutCancel(t.Context()), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("pgtest: create database: %v", err)
	}
	return s.url(name)
}

func (s *Server) url(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("sluice", s.password), Host: s.host,
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// newest finds the server with the highest version, or ends the test.
func newest(t testing.TB) (bin string, version int) {
	t.Helper()
	dirs, err := filepath.Glob(binaries)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	for _, dir := range dirs {
		v, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		if _, statErr := os.Stat(filepath.Join(dir, "initdb")); err == nil && statErr == nil && v > version {
			bin, version = dir, v
		}
	}
	if bin != "" {
		return bin, version
	}
	why := "no PostgreSQL server in " + binaries + "; the Debian package postgresql has it"
	if os.Getenv(Require) != "" {
		t.Fatalf("pgtest: %s, and %s is set", why, Require)
	}
	t.Skip("pgtest: " + why)
	return "", 0
}

// unprivileged returns who runs the server: nil for the user of the test, except that
// PostgreSQL refuses root.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	var errs []error
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			errs = append(errs, err)
			continue
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("no user to run the server as: %w", errors.Join(errs...))
}

func freePort() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	_, port, found := strings.Cut(ln.Addr().String(), ":")
	if !found {
		return "", fmt.Errorf("listener has address %s", ln.Addr())
	}
	return port, nil
}
