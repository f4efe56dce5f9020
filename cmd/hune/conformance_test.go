package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/conformance"
)

// What Loki and Tempo answered to the two corpora, the whole program answers too: over HTTP, with every
// role in between, from memory and from blocks in the bucket. What differs on purpose is listed in the
// corpora's pending.txt.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("replays 2,000 queries twice; run without -short")
	}
	// The data is from January 2026 and has to be taken, and kept, at any later time. The recorded
	// servers had no limits that it reaches.
	env := append([]string{
		"HUNE_LIMITS_MAX_AGE=0s", "HUNE_RETENTION_LOGS=0s", "HUNE_RETENTION_TRACES=0s",
		"HUNE_LIMITS_LOGS_INGESTION_RATE=1GiB", "HUNE_LIMITS_LOGS_INGESTION_BURST=1GiB",
		"HUNE_LIMITS_TRACES_INGESTION_RATE=1GiB", "HUNE_LIMITS_TRACES_INGESTION_BURST=1GiB",
	}, quiet...)
	p := start(t, t.TempDir(), env)
	server := conformance.Server(p.url)
	require.NoError(t, conformance.LogQLLoad(server))
	for request, err := range conformance.TraceQLDataset() {
		require.NoError(t, err)
		status, body := p.post("/v1/traces", jsonType, request, nil)
		require.Equal(t, http.StatusOK, status, body)
		require.NotContains(t, body, "rejected")
	}
	check := func(t *testing.T) {
		t.Run("LogQL", func(t *testing.T) { conformance.LogQLCheck(t, server) })
		t.Run("TraceQL", func(t *testing.T) { conformance.TraceQLCheck(t, server) })
	}
	t.Run("head", check)
	p.flush()
	t.Run("bucket", check)
	p.stop()
}
