package blobtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

const versitygw = "github.com/versity/versitygw/cmd/versitygw"

// StartS3 starts an S3 service, versitygw on a temporary directory, that lasts as
// long as the test, and returns a blob URL for a bucket on it. Its credentials are in
// the environment of the test, which therefore cannot be parallel. Building the
// service takes a minute the first time; it is kept in the user's cache. Where it
// cannot be built, the test is skipped, or fails if SLUICE_TEST_REQUIRE_S3 is set.
func StartS3(t *testing.T, bucket string) string {
	t.Helper()
	binary, err := build(t.Context(), t.TempDir())
	if err != nil {
		if os.Getenv("SLUICE_TEST_REQUIRE_S3") != "" {
			t.Fatalf("no S3 service, and SLUICE_TEST_REQUIRE_S3 is set: %v", err)
		}
		t.Skipf("no S3 service: %v", err)
	}
	id, secret := "sluice-test", rand.Text()
	t.Setenv("AWS_ACCESS_KEY_ID", id)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	t.Setenv("AWS_SESSION_TOKEN", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")

	// It cannot tell which port it got, so it gets one that was free a moment ago.
	for range 5 {
		addr, err := freeAddr()
		if err != nil {
			t.Fatal(err)
		}
		if err = serve(t, binary, addr, id, secret); err == nil {
			q := url.Values{"endpoint": {"http://" + addr}, "region": {"us-east-1"}, "use_path_style": {"true"}}
			return "s3://" + bucket + "?" + q.Encode()
		}
		t.Log(err)
	}
	t.Fatal("versitygw does not start")
	return ""
}

// serve starts the service and returns when it takes connections.
func serve(t *testing.T, binary, addr, id, secret string) error {
	t.Helper()
	cmd := exec.Command(binary, "--quiet", "--port", addr, "--region", "us-east-1", "posix", t.TempDir())
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+id, "ROOT_SECRET_ACCESS_KEY="+secret)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() { // ends with the process
		defer close(exited)
		_ = cmd.Wait() // reports the kill
	}()
	stop := func() { _ = cmd.Process.Kill(); <-exited }
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			t.Cleanup(stop)
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("versitygw ended: %s", &said)
		case <-t.Context().Done():
			stop()
			return t.Context().Err()
		case <-time.After(5 * time.Millisecond): // it tells nobody when it listens
		}
	}
}

func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// build returns the service's program, made from the module test/tools/s3 with the
// versions that it names.
func build(ctx context.Context, tmp string) (string, error) {
	module, err := toolsModule()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", err
		}
		sum.Write(b)
	}
	fmt.Fprint(sum, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	dir := tmp // where the user has no cache
	if cache, err := os.UserCacheDir(); err == nil {
		dir = filepath.Join(cache, "sluice-test-tools")
	}
	binary := filepath.Join(dir, fmt.Sprintf("versitygw-%x", sum.Sum(nil)[:8]))
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", err
	}
	// Other tests may be building, too: the last to finish wins, with the same bytes.
	half, err := os.CreateTemp(dir, "building-*")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(half.Name()) }() // gone when all went well
	if err := half.Close(); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-C", module, "-o", half.Name(), versitygw)
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w: %s", versitygw, err, out)
	}
	return binary, os.Rename(half.Name(), binary)
}

// toolsModule finds the module from wherever in the tree the test runs.
func toolsModule() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		module := filepath.Join(dir, "test", "tools", "s3")
		if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
			return module, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no test/tools/s3 above the working directory")
		}
	}
}
