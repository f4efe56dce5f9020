package main

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Series that are deleted are gone at once, from the head and from the bucket, and stay gone after kill -9.
func TestDeleteSeries(t *testing.T) {
	dir := t.TempDir()
	env := append(slices.Clone(quiet), "HUNE_METRICS_ADMIN_API=true")
	p := start(t, dir, env)
	push := func(p *process, at time.Time) {
		t.Helper()
		for _, name := range []string{"kept", "secret"} {
			code, body := p.post("/api/v1/write", "application/x-protobuf", remoteWrite(name, at, map[string]float64{"x": 1}), map[string]string{"Content-Encoding": "snappy"})
			require.Equal(t, http.StatusNoContent, code, body)
		}
	}
	names := func(p *process) (out []string) {
		t.Helper()
		for name := range p.promVector(`last_over_time({__name__=~"kept|secret"}[1h])`, time.Now(), "__name__", nil) {
			out = append(out, name)
		}
		return out
	}
	admin := func(p *process, path string, params url.Values) (int, string) {
		t.Helper()
		return p.post("/api/v1/admin/tsdb/"+path+"?"+params.Encode(), "", nil, nil)
	}
	push(p, time.Now().Add(-time.Minute))
	p.flush()
	push(p, time.Now())
	require.Len(t, names(p), 2)
	code, body := admin(p, "delete_series", url.Values{"match[]": {`{__name__="secret"}`}})
	require.Equal(t, http.StatusNoContent, code, body)
	require.Equal(t, []string{"kept"}, names(p))
	p.kill()

	p = start(t, dir, env)
	require.Equal(t, []string{"kept"}, names(p))
	p.flush()
	require.Equal(t, []string{"kept"}, names(p))
	code, body = admin(p, "clean_tombstones", nil)
	require.Equal(t, http.StatusNoContent, code, body)
	require.Equal(t, []string{"kept"}, names(p))
	code, body = admin(p, "snapshot", nil)
	require.Equal(t, http.StatusOK, code, body)
	name := regexp.MustCompile(`"name":"([^"]+)"`).FindStringSubmatch(body)
	require.Len(t, name, 2, body)
	blocks, err := os.ReadDir(filepath.Join(dir, "snapshots", name[1]))
	require.NoError(t, err)
	require.NotEmpty(t, blocks)
	p.stop()
}
