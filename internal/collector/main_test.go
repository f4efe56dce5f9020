package collector

import (
	"net/http"
	"testing"

	"go.uber.org/goleak"
)

// No test may leave a goroutine behind. The tests' own connections are kept alive until
// here; one goroutine is started when the client of an object storage is imported, and never ends.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(closing{m}, goleak.IgnoreTopFunction("github.com/baidubce/bce-sdk-go/util/log.NewLogger.func1"))
}

type closing struct{ *testing.M }

func (c closing) Run() int {
	code := c.M.Run()
	http.DefaultClient.CloseIdleConnections()
	return code
}
