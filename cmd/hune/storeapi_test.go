package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// One process reads another one's metrics through the StoreAPI on its main port.
func TestStoreEndpoints(t *testing.T) {
	first := start(t, t.TempDir(), quiet)
	now := time.Now()
	code, body := first.post("/api/v1/write", "application/x-protobuf", remoteWrite("far", now, map[string]float64{"a": 7}), map[string]string{"Content-Encoding": "snappy"})
	require.Equal(t, http.StatusNoContent, code, body)
	second := start(t, t.TempDir(), append(slices.Clone(quiet), "HUNE_METRICS_STORE_ENDPOINTS=["+strings.TrimPrefix(first.url, "http://")+"]"))
	deadline := time.Now().Add(30 * time.Second)
	for {
		got := second.promVector("far", now, "tenant", nil)
		if len(got) > 0 {
			require.Equal(t, map[string]string{"anonymous": "7"}, got)
			break
		}
		require.True(t, time.Now().Before(deadline), "the other process was not asked")
		pause(100 * time.Millisecond)
	}
	first.stop()
	second.stop()
}
