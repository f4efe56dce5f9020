package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/thanos-io/thanos/pkg/info/infopb"
	"github.com/thanos-io/thanos/pkg/rules/rulespb"
	"github.com/thanos-io/thanos/pkg/targets/targetspb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/hune-io/hune/internal/metrics/storeapi"
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

// A Thanos Querier is told which rules a process evaluates and which targets it scrapes.
func TestThanosIsToldOfRulesAndTargets(t *testing.T) {
	dir := t.TempDir()
	rules, config := filepath.Join(dir, "rules.yml"), filepath.Join(dir, "hune.yaml")
	require.NoError(t, os.WriteFile(rules, []byte("groups: [{name: g, rules: [{alert: Never, expr: vector(1) > 2, for: 1m}, {record: r, expr: vector(1)}]}]"), 0o600))
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
rules: {files: [%q], defaults: false}
scrape_configs: [{job_name: far, scrape_interval: 24h, static_configs: [{targets: [nobody.invalid:1]}]}]
`, rules), 0o600))
	p := start(t, t.TempDir(), quiet, "--config", config)
	conn, err := grpc.NewClient(strings.TrimPrefix(p.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(storeapi.Codec())))
	require.NoError(t, err)
	defer conn.Close()
	info, err := infopb.NewInfoClient(conn).Info(t.Context(), &infopb.InfoRequest{})
	require.NoError(t, err)
	require.NotNil(t, info.Rules)
	require.NotNil(t, info.Targets)

	groups, err := rulespb.NewRulesClient(conn).Rules(t.Context(), &rulespb.RulesRequest{})
	require.NoError(t, err)
	m, err := groups.Recv()
	require.NoError(t, err)
	require.Equal(t, "g", m.GetGroup().Name)
	require.Len(t, m.GetGroup().Rules, 2)
	require.Equal(t, "Never", m.GetGroup().Rules[0].GetAlert().Name)
	require.Equal(t, 60.0, m.GetGroup().Rules[0].GetAlert().DurationSeconds)
	require.Equal(t, "vector(1)", m.GetGroup().Rules[1].GetRecording().Query)

	require.Eventually(t, func() bool {
		targets, err := targetspb.NewTargetsClient(conn).Targets(t.Context(), &targetspb.TargetsRequest{})
		require.NoError(t, err)
		m, err := targets.Recv()
		require.NoError(t, err)
		found := m.GetTargets().ActiveTargets
		return len(found) == 1 && found[0].ScrapePool == "far" && storeapi.ToLabels(found[0].Labels.Labels).Get("instance") == "nobody.invalid:1"
	}, 30*time.Second, 50*time.Millisecond)
	p.stop()
}
