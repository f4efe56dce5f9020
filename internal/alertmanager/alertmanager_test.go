package alertmanager

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafana/dskit/services"
	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/freeport"
	"github.com/hune-io/hune/internal/history"
)

// webhook is a webhook that remembers what it was told.
type webhook struct {
	*httptest.Server
	mu   sync.Mutex
	got  []hook
	fail int // the next so many requests are answered 500
}

type hook struct {
	Status      string            `json:"status"`
	GroupLabels map[string]string `json:"groupLabels"`
	Alerts      []struct {
		Status string            `json:"status"`
		Labels map[string]string `json:"labels"`
	} `json:"alerts"`
}

func newWebhook(t *testing.T) *webhook {
	r := &webhook{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.fail > 0 {
			r.fail--
			http.Error(w, "down", http.StatusInternalServerError)
			return
		}
		var h hook
		if json.NewDecoder(req.Body).Decode(&h) != nil {
			http.Error(w, "no JSON", http.StatusBadRequest)
			return
		}
		r.got = append(r.got, h)
	}))
	t.Cleanup(r.Close)
	return r
}

// names returns the status and names of the groups told, in order.
func (r *webhook) names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, h := range r.got {
		out = append(out, h.Status+" "+h.GroupLabels["alertname"])
	}
	return out
}

func (r *webhook) awaits(t *testing.T, want ...string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) { require.Equal(c, want, r.names()) }, 20*time.Second, 10*time.Millisecond)
}

type events struct {
	mu  sync.Mutex
	all []history.Event
}

func (e *events) Record(_ string, ev history.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

func (e *events) of(kind string) (out []history.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.all {
		if ev.Event == kind {
			out = append(out, ev)
		}
	}
	return out
}

// setup is one process's Alertmanager.
type setup struct {
	*Alertmanager
	events   *events
	registry *prometheus.Registry
	dir      string
	bucket   objstore.Bucket
	file     string
}

func routes(to string) string {
	return `
route:
  receiver: hook
  group_by: [alertname]
  group_wait: 10ms
  group_interval: 50ms
  repeat_interval: 4h
receivers:
  - name: hook
    webhook_configs:
      - url: ` + to + "\n"
}

func writeFile(t testing.TB, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
}

// start runs an Alertmanager over a state folder and a bucket.
func start(t testing.TB, dir string, bucket objstore.Bucket, text string, change ...func(*Config)) *setup {
	t.Helper()
	s := &setup{events: &events{}, registry: prometheus.NewRegistry(), dir: dir, bucket: bucket, file: filepath.Join(t.TempDir(), "alertmanager.yml")}
	writeFile(t, s.file, text)
	cfg := DefaultConfig()
	cfg.ConfigFile = s.file
	for _, f := range change {
		f(&cfg)
	}
	var err error
	s.Alertmanager, err = New(t.Context(), Options{Config: cfg, Dir: dir, Bucket: bucket, History: s.events, ExternalURL: &url.URL{Scheme: "http", Host: "hune:4320"},
		Logger: slog.New(slog.DiscardHandler), Registerer: s.registry})
	require.NoError(t, err)
	require.NoError(t, services.StartAndAwaitRunning(t.Context(), s))
	t.Cleanup(func() { _ = services.StopAndAwaitTerminated(context.Background(), s) })
	return s
}

// killed returns a copy of the state folder as a kill at this moment would leave it.
func (s *setup) killed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(s.dir)))
	return dir
}

func firing(name string, more ...string) *alert.Alert {
	now := time.Now()
	ls := model.LabelSet{"alertname": model.LabelValue(name)}
	for i := 0; i+1 < len(more); i += 2 {
		ls[model.LabelName(more[i])] = model.LabelValue(more[i+1])
	}
	return &alert.Alert{Alert: model.Alert{Labels: ls, StartsAt: now, EndsAt: now.Add(time.Hour)}, UpdatedAt: now}
}

func resolved(a *alert.Alert) *alert.Alert {
	b := *a
	b.EndsAt = time.Now()
	b.UpdatedAt = b.EndsAt
	return &b
}

// ask sends a request to a tenant's API.
func (s *setup) ask(t *testing.T, tenant, method, path, body string) (int, string) {
	t.Helper()
	h, err := s.Handler(t.Context(), tenant)
	require.NoError(t, err)
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestNotifiesAndResolves(t *testing.T) {
	hooks := newWebhook(t)
	s := start(t, t.TempDir(), objstore.NewInMemBucket(), routes(hooks.URL))
	a := firing("DiskFull", "host", "a")
	require.NoError(t, s.Put(t.Context(), "team", []*alert.Alert{a}))
	hooks.awaits(t, "firing DiskFull")
	require.NoError(t, s.Put(t.Context(), "team", []*alert.Alert{resolved(a)}))
	hooks.awaits(t, "firing DiskFull", "resolved DiskFull")

	require.Eventually(t, func() bool { return len(s.events.of(history.Notification)) == 2 }, 10*time.Second, 10*time.Millisecond)
	sent := s.events.of(history.Notification)
	require.Equal(t, history.Event{Event: history.Notification, AlertName: "DiskFull", Labels: map[string]string{"alertname": "DiskFull"}, Receiver: "hook",
		Integration: "webhook", Result: "sent", Reason: "first notification", GroupKey: `{}:{alertname="DiskFull"}`, Alerts: 1, Firing: 1,
		Duration: sent[0].Duration}, sent[0])
	require.Equal(t, "all alerts resolved", sent[1].Reason)
	require.Equal(t, 1, sent[1].Resolved)
}

func TestAReceiverThatIsDownIsTriedAgain(t *testing.T) {
	hooks := newWebhook(t)
	hooks.fail = 2
	s := start(t, t.TempDir(), objstore.NewInMemBucket(), routes(hooks.URL))
	require.NoError(t, s.Put(t.Context(), "team", []*alert.Alert{firing("Down")}))
	hooks.awaits(t, "firing Down")
	require.Eventually(t, func() bool { return len(s.events.of(history.Notification)) == 3 }, 10*time.Second, 10*time.Millisecond)
	sent := s.events.of(history.Notification)
	require.Equal(t, "failed", sent[0].Result)
	require.Contains(t, sent[0].Error, "500")
	require.Equal(t, "sent", sent[2].Result)
}

func TestAKillLosesNothingAndRepeatsNothing(t *testing.T) {
	hooks := newWebhook(t)
	bucket := objstore.NewInMemBucket()
	s := start(t, t.TempDir(), bucket, routes(hooks.URL))
	require.NoError(t, s.Put(t.Context(), "team", []*alert.Alert{firing("Told")}))
	hooks.awaits(t, "firing Told")
	require.Eventually(t, func() bool { return strings.Contains(journalText(t, s.killed(t)), "{alertname=") }, 10*time.Second, 10*time.Millisecond,
		"that the receiver was told is on disk")
	code, body := s.ask(t, "team", http.MethodPost, "/api/v2/silences", `{"matchers":[{"name":"alertname","value":"Quiet","isRegex":false}],
		"startsAt":"2020-01-01T00:00:00Z","endsAt":"2100-01-01T00:00:00Z","createdBy":"me","comment":"known"}`)
	require.Equal(t, http.StatusOK, code, body)

	// Taken, but killed before anybody is told.
	waiting := strings.Replace(routes(hooks.URL), "group_wait: 10ms", "group_wait: 1h", 1)
	writeFile(t, s.file, waiting)
	require.NoError(t, s.Reload(s.file))
	require.NoError(t, s.Put(t.Context(), "team", []*alert.Alert{firing("Untold"), firing("Quiet")}))
	disk := s.killed(t)
	require.NoError(t, services.StopAndAwaitTerminated(t.Context(), s))

	again := start(t, disk, bucket, routes(hooks.URL))
	hooks.awaits(t, "firing Told", "firing Untold")
	require.NoError(t, again.Put(t.Context(), "team", []*alert.Alert{firing("Later")}))
	hooks.awaits(t, "firing Told", "firing Untold", "firing Later")

	code, body = again.ask(t, "team", http.MethodGet, "/api/v2/alerts?silenced=true&active=false", "")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, `"alertname":"Quiet"`)
	require.NotContains(t, body, "Told")
}

// journalText is everything in the log of the tenant team.
func journalText(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "team", "wal", "*"))
	require.NoError(t, err)
	var all []byte
	for _, n := range names {
		if fi, err := os.Stat(n); err != nil || fi.IsDir() {
			continue
		}
		b, err := os.ReadFile(n)
		require.NoError(t, err)
		all = append(all, b...)
	}
	return string(all)
}

func TestSilencesOfAnotherMachineComeFromTheBucket(t *testing.T) {
	bucket := objstore.NewInMemBucket()
	s := start(t, t.TempDir(), bucket, quiet)
	code, body := s.ask(t, "team", http.MethodPost, "/api/v2/silences", `{"matchers":[{"name":"a","value":"b","isRegex":true}],
		"startsAt":"2020-01-01T00:00:00Z","endsAt":"2100-01-01T00:00:00Z","createdBy":"me","comment":"known"}`)
	require.Equal(t, http.StatusOK, code, body)
	set := s.events.of(history.SilenceSet)
	require.Len(t, set, 1)
	require.Equal(t, "me", set[0].Author)
	require.Equal(t, `{a=~"b"}`, set[0].Matchers)
	i, err := s.instance(t.Context(), "team")
	require.NoError(t, err)
	i.maintain(t.Context(), s.copyState)

	other := start(t, t.TempDir(), bucket, quiet)
	code, body = other.ask(t, "team", http.MethodGet, "/api/v2/silences", "")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, set[0].Silence)
	code, _ = other.ask(t, "team", http.MethodDelete, "/api/v2/silence/"+set[0].Silence, "")
	require.Equal(t, http.StatusOK, code)
	require.Len(t, other.events.of(history.SilenceExpired), 1)
	code, _ = other.ask(t, "team", http.MethodDelete, "/api/v2/silence/5c1e6f2e-0000-0000-0000-000000000000", "")
	require.Equal(t, http.StatusNotFound, code)
}

func TestTenantsAreApart(t *testing.T) {
	s := start(t, t.TempDir(), objstore.NewInMemBucket(), quiet)
	require.NoError(t, s.Put(t.Context(), "a", []*alert.Alert{firing("OfA")}))
	_, body := s.ask(t, "b", http.MethodGet, "/api/v2/alerts", "")
	require.Equal(t, "[]\n", body)
	_, body = s.ask(t, "a", http.MethodGet, "/api/v2/alerts", "")
	require.Contains(t, body, "OfA")
}

func TestMoreAlertsThanAllowedAreRefused(t *testing.T) {
	s := start(t, t.TempDir(), objstore.NewInMemBucket(), quiet, func(c *Config) { c.MaxAlerts = 2 })
	a, b, c := firing("A"), firing("B"), firing("C")
	err := s.Put(t.Context(), "a", []*alert.Alert{a, b, c})
	require.EqualError(t, err, "1 of 3 alerts were refused: the tenant has reached its limit of 2 alerts (alertmanager.max_alerts)")
	require.Equal(t, fault.RateLimited, fault.ClassOf(err))
	require.NoError(t, s.Put(t.Context(), "a", []*alert.Alert{a, b}), "those known can be repeated")
}

func TestReload(t *testing.T) {
	hooks := newWebhook(t)
	s := start(t, t.TempDir(), objstore.NewInMemBucket(), quiet)
	require.NoError(t, s.Put(t.Context(), "a", []*alert.Alert{firing("Early")}))
	writeFile(t, s.file, "route:\n  receiver: nobody\n")
	require.ErrorContains(t, s.Reload(s.file), `undefined receiver "nobody" used in route`)
	require.InDelta(t, 0, testutil.ToFloat64(s.reloaded.ok), 0)
	_, body := s.ask(t, "a", http.MethodGet, "/api/v2/status", "")
	require.Contains(t, body, "receiver: none", "the old one stays")

	writeFile(t, s.file, routes(hooks.URL))
	require.NoError(t, s.Reload(s.file))
	require.InDelta(t, 1, testutil.ToFloat64(s.reloaded.ok), 0)
	hooks.awaits(t, "firing Early")
}

func TestTenantsOwnConfiguration(t *testing.T) {
	hooks, own := newWebhook(t), newWebhook(t)
	bucket := objstore.NewInMemBucket()
	s := start(t, t.TempDir(), bucket, routes(hooks.URL), func(c *Config) { c.PollInterval = model.Duration(20 * time.Millisecond) })
	_, err := s.ReadConfig(t.Context(), "a")
	require.ErrorIs(t, err, ErrNoConfig)
	text := routes(own.URL) + "templates: [greet.tmpl]\n"
	c := TenantConfig{Config: text, TemplateFiles: map[string]string{"greet.tmpl": `{{ define "greet" }}hello{{ end }}`}}
	require.NoError(t, s.WriteConfig(t.Context(), "a", c))
	require.NoError(t, s.Put(t.Context(), "a", []*alert.Alert{firing("Own")}))
	own.awaits(t, "firing Own")
	require.NoError(t, s.Put(t.Context(), "b", []*alert.Alert{firing("Other")}))
	hooks.awaits(t, "firing Other")
	back, err := s.ReadConfig(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, c, *back)

	// Another process finds it in the bucket, and finds out that it is gone.
	other := start(t, t.TempDir(), bucket, routes(hooks.URL), func(c *Config) { c.PollInterval = model.Duration(20 * time.Millisecond) })
	require.NoError(t, other.Put(t.Context(), "a", []*alert.Alert{firing("Own2")}))
	own.awaits(t, "firing Own", "firing Own2")
	require.NoError(t, s.DeleteConfig(t.Context(), "a"))
	require.Eventually(t, func() bool {
		_, body := other.ask(t, "a", http.MethodGet, "/api/v2/status", "")
		return !strings.Contains(body, "greet.tmpl")
	}, 10*time.Second, 10*time.Millisecond)
}

func TestBadTenantConfigurations(t *testing.T) {
	for name, tc := range map[string]struct {
		c    TenantConfig
		want string
	}{
		"empty":              {TenantConfig{}, "alertmanager_config is empty"},
		"no route":           {TenantConfig{Config: "receivers: []"}, "no routes provided"},
		"unknown key":        {TenantConfig{Config: quiet + "routs: {}\n"}, "field routs not found"},
		"reads a file":       {TenantConfig{Config: quiet + "global:\n  slack_api_url_file: /etc/shadow\n"}, "line 7: slack_api_url_file: a tenant's configuration can't name files"},
		"path":               {TenantConfig{Config: quiet, TemplateFiles: map[string]string{"../x": ""}}, `template "../x": must be a plain file name`},
		"template not given": {TenantConfig{Config: quiet + "templates: [x.tmpl]\n"}, `templates: "x.tmpl" is not among template_files`},
		"bad template":       {TenantConfig{Config: quiet, TemplateFiles: map[string]string{"x": "{{ end }}"}}, "template x: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tc.c.parse()
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestBadFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "am.yml")
	writeFile(t, file, quiet+"templates: [x.tmpl]\n")
	writeFile(t, filepath.Join(filepath.Dir(file), "x.tmpl"), "{{ nofunction }}")
	_, err := loadFile(file)
	require.ErrorContains(t, err, file)
	require.ErrorContains(t, err, "nofunction")
	_, err = loadFile(file + "x")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// freeAddr returns an address that nobody listens on, UDP and TCP.
func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := freeport.Take()
	require.NoError(t, err)
	return addr
}

func TestMembersNotifyOnce(t *testing.T) {
	hooks := newWebhook(t)
	first, second := freeAddr(t), freeAddr(t)
	cluster := func(listen, peer string) func(*Config) {
		return func(c *Config) {
			c.Cluster.Listen, c.Cluster.Peers, c.Cluster.Name = listen, []string{peer}, listen
			c.Cluster.GossipInterval = model.Duration(20 * time.Millisecond)
			c.Cluster.PushPullInterval = model.Duration(200 * time.Millisecond)
			c.Cluster.PeerTimeout = model.Duration(2 * time.Second)
		}
	}
	one := start(t, t.TempDir(), objstore.NewInMemBucket(), routes(hooks.URL), cluster(first, second))
	two := start(t, t.TempDir(), objstore.NewInMemBucket(), routes(hooks.URL), cluster(second, first))
	require.Eventually(t, func() bool { return one.peer.ClusterSize() == 2 && two.peer.ClusterSize() == 2 }, 20*time.Second, 10*time.Millisecond)
	a := firing("Shared")
	for _, m := range []*setup{one, two} {
		require.NoError(t, m.Put(t.Context(), "team", []*alert.Alert{a}))
	}
	hooks.awaits(t, "firing Shared")
	for _, m := range []*setup{one, two} {
		i, err := m.instance(t.Context(), "team")
		require.NoError(t, err)
		require.Eventually(t, func() bool { b, err := i.notified.MarshalBinary(); return err == nil && len(b) > 0 }, 20*time.Second, 10*time.Millisecond,
			"each member knows that the receiver was told")
	}
	code, body := one.ask(t, "team", http.MethodPost, "/api/v2/silences", `{"matchers":[{"name":"a","value":"b","isRegex":false}],
		"startsAt":"2020-01-01T00:00:00Z","endsAt":"2100-01-01T00:00:00Z","createdBy":"me","comment":"known"}`)
	require.Equal(t, http.StatusOK, code, body)
	require.Eventually(t, func() bool {
		_, body := two.ask(t, "team", http.MethodGet, "/api/v2/silences", "")
		return strings.Contains(body, `"known"`)
	}, 20*time.Second, 10*time.Millisecond)
	require.NoError(t, two.Put(t.Context(), "team", []*alert.Alert{firing("Alone")})) // whose turn comes after that of Shared
	hooks.awaits(t, "firing Shared", "firing Alone")
}

func TestRestoreGivesTimeToSendersThatAreBack(t *testing.T) {
	now := time.Now().Round(0)
	down := now.Add(-3 * time.Hour)
	running := &alert.Alert{Alert: model.Alert{Labels: model.LabelSet{"alertname": "R"}, StartsAt: down.Add(-time.Hour), EndsAt: down.Add(4 * time.Minute)}, UpdatedAt: down}
	ended := &alert.Alert{Alert: model.Alert{Labels: model.LabelSet{"alertname": "E"}, StartsAt: down, EndsAt: now.Add(-time.Minute)}, UpdatedAt: now.Add(-time.Minute)}
	old := &alert.Alert{Alert: model.Alert{Labels: model.LabelSet{"alertname": "O"}, StartsAt: down, EndsAt: down}, UpdatedAt: down}
	r := restore{}
	earlier := *running
	earlier.UpdatedAt = down.Add(-time.Minute)
	earlier.EndsAt = down
	for _, a := range []*alert.Alert{running, &earlier, ended, old} {
		body, err := json.Marshal([]savedAlert{save(a)})
		require.NoError(t, err)
		require.NoError(t, r.add(body))
	}
	got := r.revived(now, 30*time.Minute)
	require.Len(t, got, 2)
	require.Equal(t, "R", got[0].Name())
	require.True(t, got[0].EndsAt.Equal(now.Add(4*time.Minute)), "%s", got[0].EndsAt)
	require.Equal(t, "E", got[1].Name())
	require.True(t, got[1].EndsAt.Equal(ended.EndsAt))
}

func TestRepeatedAlertsAreNotWrittenEachTime(t *testing.T) {
	s := start(t, t.TempDir(), objstore.NewInMemBucket(), quiet)
	a := firing("A")
	put := func(after time.Duration) int {
		b := *a
		b.UpdatedAt, b.EndsAt = a.UpdatedAt.Add(after), a.EndsAt.Add(after)
		require.NoError(t, s.Put(t.Context(), "team", []*alert.Alert{&b}))
		return len(journalText(t, s.dir))
	}
	first := put(0)
	require.Equal(t, first, put(10*time.Minute))
	require.Greater(t, put(31*time.Minute), first, "half of its time would be lost")
}

func FuzzDecodeCopy(f *testing.F) {
	f.Add(stateCopy{[]byte("ab"), []byte("c")}.encode())
	f.Add([]byte("HAM1\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeCopy(data)
		if err == nil {
			require.Equal(t, data, c.encode())
		}
	})
}

// BenchmarkAlerts asks for 20,000 active alerts.
func BenchmarkAlerts(b *testing.B) {
	m, err := New(b.Context(), Options{Config: DefaultConfig(), Dir: b.TempDir(), Bucket: objstore.NewInMemBucket(), History: &events{}, ExternalURL: &url.URL{},
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	require.NoError(b, err)
	defer func() { require.NoError(b, m.stop(nil)) }()
	var all []*alert.Alert
	for i := range 20_000 {
		a := firing(fmt.Sprintf("Alert%d", i%200), "instance", fmt.Sprintf("host-%d:9100", i), "job", "node", "severity", "warning", "cluster", "eu-1")
		a.Annotations = model.LabelSet{"summary": "the disk of the host fills within four hours", "runbook_url": "http://hune/runbooks/disk"}
		all = append(all, a)
	}
	require.NoError(b, m.Put(b.Context(), "t", all))
	h, err := m.Handler(b.Context(), "t")
	require.NoError(b, err)
	for b.Loop() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/api/v2/alerts", nil))
		n, err := io.Copy(io.Discard, w.Body)
		require.NoError(b, err)
		b.SetBytes(n)
	}
}
