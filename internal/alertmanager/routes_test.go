package alertmanager

import (
	"testing"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"
)

const tree = `
route:
  receiver: everybody
  group_by: [alertname, job]
  routes:
    - matchers: [severity="page"]
      receiver: pager
      group_wait: 5s
      continue: true
    - matchers: [team=~"db|store"]
      receiver: db
      group_by: ["..."]
      routes:
        - matchers: [severity="info"]
          receiver: nobody
receivers:
  - name: everybody
    webhook_configs: [{url: "http://127.0.0.1:1/"}]
  - name: pager
    webhook_configs: [{url: "http://127.0.0.1:1/"}, {url: "http://127.0.0.1:1/"}]
  - name: db
    webhook_configs: [{url: "http://127.0.0.1:1/"}]
  - name: nobody
`

func TestRoutes(t *testing.T) {
	s := start(t, t.TempDir(), objstore.NewInMemBucket(), tree)
	for _, c := range []struct {
		name   string
		labels model.LabelSet
		want   []string
	}{
		{"no route of its own", model.LabelSet{"alertname": "A"}, []string{"everybody"}},
		{"continue goes on", model.LabelSet{"severity": "page", "team": "db"}, []string{"pager", "db"}},
		{"continue to nothing", model.LabelSet{"severity": "page"}, []string{"pager"}},
		{"the deepest", model.LabelSet{"severity": "info", "team": "store"}, []string{"nobody"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, receivers, err := s.Routes(t.Context(), "team", c.labels)
			require.NoError(t, err)
			require.Equal(t, c.want, receivers)
			var matched []string
			var walk func(*Route)
			walk = func(r *Route) {
				if r.Matched {
					matched = append(matched, r.Receiver)
				}
				for _, child := range r.Routes {
					walk(child)
				}
			}
			walk(root)
			require.Equal(t, c.want, matched)
		})
	}

	root, _, err := s.Routes(t.Context(), "team", nil)
	require.NoError(t, err)
	require.Equal(t, []string{"alertname", "job"}, root.GroupBy)
	require.Equal(t, "30s", root.GroupWait)
	pager, db := root.Routes[0], root.Routes[1]
	require.Equal(t, []string{`severity="page"`}, pager.Matchers)
	require.Equal(t, []string{"webhook", "webhook"}, pager.Integrations)
	require.True(t, pager.Continue)
	require.Equal(t, "5s", pager.GroupWait)
	require.Equal(t, []string{"alertname", "job"}, pager.GroupBy, "inherited")
	require.Equal(t, []string{"..."}, db.GroupBy)
	require.Empty(t, db.Routes[0].Integrations)
}
