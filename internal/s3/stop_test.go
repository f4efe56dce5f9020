package s3

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A stop that comes while the endpoint starts is not kept waiting.
func TestStopWhileStarting(t *testing.T) {
	for range 20 {
		cfg := DefaultConfig()
		cfg.Listen, cfg.AccessKey, cfg.SecretKey = "127.0.0.1:0", "key", "a-long-secret"
		s, err := New(cfg, t.TempDir(), slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		require.NoError(t, s.StartAsync(t.Context()))
		s.StopAsync()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_ = s.AwaitTerminated(ctx) // or failed, where the stop came first
		require.NoError(t, ctx.Err())
		cancel()
	}
}
