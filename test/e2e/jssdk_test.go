package e2e

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/test/e2e/npm"
)

// requireNode is the environment variable that turns a missing node, npm or npm package
// from a skipped test into a failed one.
const requireNode = "SLUICE_TEST_REQUIRE_NODE"

// The stock AWS SDK for JavaScript makes a journey through the API; jssdk/journey.mjs
// says what it expects.
func TestJavaScriptSDK(t *testing.T) {
	t.Parallel()
	if err := npm.Install(t.Context(), "jssdk"); err != nil {
		if os.Getenv(requireNode) != "" {
			t.Fatalf("no AWS SDK for JavaScript, and %s is set: %v", requireNode, err)
		}
		t.Skipf("no AWS SDK for JavaScript: %v", err)
	}
	srv := servertest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "journey.mjs", srv.Base)
	cmd.Dir, cmd.Env = "jssdk", awsEnv(srv.Region, admin(srv))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("journey.mjs: %v\n%s", err, out)
	}
}
