package ruler_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/ruler"
	"github.com/hune-io/hune/internal/ruler/unittest"
	"github.com/hune-io/hune/internal/rules"
)

// Each default alert fires on data made for it, and has a page.
func TestDefaultRulesFire(t *testing.T) {
	tests, err := unittest.Read("testdata/defaults.yml")
	require.NoError(t, err)
	results, err := tests.Run(nil)
	require.NoError(t, err)
	for _, r := range results {
		require.Empty(t, r.Faults, r.Test)
	}
	fired := map[string]bool{}
	for _, test := range tests.Tests {
		for _, a := range test.Alerts {
			fired[a.AlertName] = fired[a.AlertName] || len(a.Expected) > 0
		}
	}

	text, err := os.ReadFile("defaults.yaml")
	require.NoError(t, err)
	file, faults := rules.DecodeFile(text, ruler.Check)
	require.Empty(t, faults)
	pages := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}
			require.True(t, fired[r.Alert], "no test makes %s fire", r.Alert)
			pages[r.Alert+".md"] = true
			require.Equal(t, "https://github.com/hune-io/hune/blob/main/docs/runbooks/"+r.Alert+".md", r.Annotations["runbook_url"])
			page, err := os.ReadFile(filepath.Join("../../docs/runbooks", r.Alert+".md"))
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(string(page), "# "+r.Alert+"\n"), "the title of its page")
			require.Contains(t, string(page), "**Do**", "%s: what to do", r.Alert)
		}
	}
	entries, err := os.ReadDir("../../docs/runbooks")
	require.NoError(t, err)
	for _, e := range entries {
		require.True(t, pages[e.Name()], "the page %s has no alert", e.Name())
	}
}
