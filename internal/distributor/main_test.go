package distributor

import (
	"testing"

	"go.uber.org/goleak"
)

// No test may leave a goroutine behind. One is started when the client of an object storage is
// imported, and never ends.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/baidubce/bce-sdk-go/util/log.NewLogger.func1"))
}
