package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pair is two members of a cluster over one bucket.
type pair struct {
	t            *testing.T
	env          []string
	config       string // beside the bucket and the cluster
	bucket       string
	gossip, data [2]string
	timeout      string // of heartbeats
}

func newPair(t *testing.T, env []string, timeout, config string) *pair {
	return &pair{t: t, env: env, config: config, timeout: timeout, bucket: t.TempDir(),
		gossip: [2]string{freeAddr(t), freeAddr(t)}, data: [2]string{t.TempDir(), t.TempDir()}}
}

// start starts member i, with the data that it had.
func (p *pair) start(i int, args ...string) *process {
	p.t.Helper()
	config := filepath.Join(p.t.TempDir(), "hune.yaml")
	require.NoError(p.t, os.WriteFile(config, fmt.Appendf(nil, `
storage: {provider: filesystem, filesystem: {directory: %q}}
cluster: {listen: %q, join: [%q], heartbeat_period: 1s, heartbeat_timeout: %s}
%s`, p.bucket, p.gossip[i], p.gossip[0], p.timeout, p.config), 0o600))
	return start(p.t, p.data[i], p.env, append([]string{"--config", config}, args...)...)
}

// startBoth starts both and waits until they know each other as members of a ring.
func (p *pair) startBoth(ring string) []*process {
	p.t.Helper()
	members := []*process{p.start(0), p.start(1)}
	for _, m := range members {
		await(p.t, "two members of "+ring, func() bool {
			known := m.ringOf(ring)
			for _, state := range known {
				if state != "ACTIVE" {
					return false
				}
			}
			return len(known) == 2
		})
	}
	return members
}

// await waits for something that takes seconds, on a slow machine more.
func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	require.Eventually(t, f, 90*time.Second, 50*time.Millisecond, what)
}
