package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/app"
	"github.com/hune-io/hune/internal/config"
	"github.com/hune-io/hune/internal/wal"
)

// A stop that is asked for during the replay is an orderly one, and leaves the log as it is.
func TestStopDuringTheStart(t *testing.T) {
	cfg := config.Default()
	cfg.Data = t.TempDir()
	cfg.HTTP.Listen, cfg.OTLP.GRPCListen, cfg.OTLP.HTTPListen = "127.0.0.1:0", "", ""
	dir := filepath.Join(cfg.Data, "ingester", "logs", "wal")
	log, err := wal.Open(dir, wal.Options{})
	require.NoError(t, err)
	require.NoError(t, log.Append(t.Context(), []byte("acknowledged")))
	require.NoError(t, log.Close())

	ctx, stop := context.WithCancel(t.Context())
	stop()
	require.NoError(t, serve(ctx, cfg, app.Options{Log: os.Stderr}))

	log, err = wal.Open(dir, wal.Options{})
	require.NoError(t, err)
	var got []string
	_, err = log.Replay(t.Context(), func(_ int, rec []byte) error { got = append(got, string(rec)); return nil })
	require.NoError(t, err)
	require.Equal(t, []string{"acknowledged"}, got)
	require.NoError(t, log.Close())
}
