package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// delivery is a notification as a webhook gets it.
type delivery struct {
	path        string
	Receiver    string
	Status      string
	GroupLabels map[string]string
	Alerts      []struct {
		Status              string
		Labels, Annotations map[string]string
		GeneratorURL        string
	}
}

// names returns the names of the alerts of a status, each once.
func (d delivery) names(status string) map[string]bool {
	out := map[string]bool{}
	for _, a := range d.Alerts {
		if a.Status == status {
			out[a.Labels["alertname"]] = true
		}
	}
	return out
}

// inbox keeps what a webhook is told.
type inbox struct {
	mu  sync.Mutex
	all []delivery
}

func (in *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d := delivery{path: r.URL.Path}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &d)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.all = append(in.all, d)
}

// find returns the first delivery that fits, or nil.
func (in *inbox) find(fits func(delivery) bool) *delivery {
	in.mu.Lock()
	defer in.mu.Unlock()
	for i := range in.all {
		if fits(in.all[i]) {
			return &in.all[i]
		}
	}
	return nil
}

// The sample configuration as it is, but for the address of the webhook, on what the demo sends: alerts of
// three signals fire, are grouped, routed, delivered, silenced and resolved.
func TestSampleOfAlerting(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the minute over which the sample's rules look")
	}
	t.Parallel()
	in := &inbox{}
	hook := httptest.NewServer(in)
	defer hook.Close()
	folder, err := filepath.Abs("../../deploy/alerting")
	require.NoError(t, err)
	am, err := os.ReadFile(filepath.Join(folder, "alertmanager.yml"))
	require.NoError(t, err)
	require.Contains(t, string(am), "http://127.0.0.1:9095/page")
	file := filepath.Join(t.TempDir(), "alertmanager.yml")
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(string(am), "http://127.0.0.1:9095", hook.URL)), 0o600))
	code, out, errs := runCLI(t, nil, "check", "rules", "--strict", filepath.Join(folder, "rules.yml"))
	require.Equal(t, 0, code, out+errs)

	p := start(t, t.TempDir(), append([]string{"HUNE_RULES_FILES=[" + filepath.Join(folder, "rules.yml") + "]", "HUNE_ALERTMANAGER_CONFIG_FILE=" + file}, quiet...),
		"--config", filepath.Join(folder, "hune.yaml"))
	path, err := binary()
	require.NoError(t, err)
	demo := exec.Command(path, "demo", "--rate", "20", "--endpoint", p.grpc)
	require.NoError(t, demo.Start())
	stopDemo := sync.OnceFunc(func() {
		_ = demo.Process.Signal(syscall.SIGTERM)
		_ = demo.Wait()
	})
	defer stopDemo()

	await := func(what string, fits func(delivery) bool) *delivery {
		t.Helper()
		var found *delivery
		require.Eventually(t, func() bool { found = in.find(fits); return found != nil }, 4*time.Minute, 50*time.Millisecond, what)
		return found
	}
	page := await("the page", func(d delivery) bool { return d.path == "/page" })
	require.Equal(t, "pager", page.Receiver)
	require.Equal(t, map[string]string{"alertname": "ShopIsBusy"}, page.GroupLabels)
	require.Len(t, page.Alerts, 1)
	require.Equal(t, map[string]string{"alertname": "ShopIsBusy", "severity": "page", "team": "shop"}, page.Alerts[0].Labels)
	require.Regexp(t, `^Most of them at /.*\.$`, page.Alerts[0].Annotations["description"])
	require.Contains(t, page.Alerts[0].GeneratorURL, p.url+"/ui/explore/metrics?m=")
	ticket := await("both tickets in one message", func(d delivery) bool {
		now := d.names("firing")
		return d.path == "/ticket" && now["ShopRequestsFail"] && now["ShopPaymentsAreSlow"]
	})
	require.Equal(t, map[string]string{"team": "shop"}, ticket.GroupLabels)

	// Silenced as the page does it; the alert then is shown as silenced.
	body := fmt.Appendf(nil, `{"matchers":[{"name":"alertname","value":"ShopIsBusy","isRegex":false,"isEqual":true}],"startsAt":%q,"endsAt":%q,"createdBy":"test","comment":"a sale"}`,
		time.Now().Format(time.RFC3339), time.Now().Add(time.Hour).Format(time.RFC3339))
	status, answer := p.post("/api/v2/silences", "application/json", body, nil)
	require.Equal(t, http.StatusOK, status, answer)
	var alerts []struct {
		Labels map[string]string
		Status struct {
			State      string
			SilencedBy []string
		}
	}
	p.getJSON("/api/v2/alerts", url.Values{"filter": {"severity=page"}}, &alerts)
	require.Len(t, alerts, 1)
	require.Equal(t, "suppressed", alerts[0].Status.State)
	require.Len(t, alerts[0].Status.SilencedBy, 1)

	stopDemo()
	await("tickets resolved", func(d delivery) bool { return d.path == "/ticket" && d.Status == "resolved" })
	require.Eventually(t, func() bool { return p.alertState("ShopIsBusy") == "" }, 4*time.Minute, 100*time.Millisecond)
	require.Nil(t, in.find(func(d delivery) bool { return d.path == "/page" && d.Status == "resolved" }), "it is silenced")
	var changes []string
	for line := range p.lokiLines(`{hune="alerts"} | json | alertname="ShopIsBusy" | event="state"`, time.Now().Add(-time.Hour), time.Now().Add(time.Minute), nil) {
		var e struct{ State string }
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		changes = append(changes, e.State)
	}
	require.ElementsMatch(t, []string{"firing", "inactive"}, changes)
}
