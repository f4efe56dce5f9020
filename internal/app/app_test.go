package app

import (
	"context"
	"io"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/config"
)

// A relative data folder is looked up once, from where the program was started: the embedded S3
// server, also made here, steps into its folder for a moment.
func TestDataFolderIsAbsolute(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	cfg := config.Default()
	cfg.Data, cfg.Roles = "here", []string{"s3", "store"}
	cfg.HTTP.Listen, cfg.S3.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.S3.AccessKey, cfg.S3.SecretKey = "key", "secret-of-s3"
	a, err := New(t.Context(), cfg, Options{Log: io.Discard})
	require.NoError(t, err)
	resolved, err := filepath.EvalSymlinks(dir)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(resolved, "here"), a.cfg.Data)
	_, err = New(t.Context(), cfg, Options{Log: io.Discard})
	require.EqualError(t, err, "data folder "+a.cfg.Data+" is in use by another hune")
	require.DirExists(t, filepath.Join(dir, "here", "store"))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, a.Run(ctx), "stopped at once")
	again, err := New(t.Context(), cfg, Options{Log: io.Discard})
	require.NoError(t, err, "a stop frees the folder")
	require.NoError(t, again.Run(ctx))
}
