package thanos

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"github.com/thanos-io/thanos/pkg/info/infopb"
	"github.com/thanos-io/thanos/pkg/rules/rulespb"
	"github.com/thanos-io/thanos/pkg/store/labelpb"
	"github.com/thanos-io/thanos/pkg/targets/targetspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hune-io/hune/internal/metrics/storeapi"
	"github.com/hune-io/hune/internal/tenant"
)

// said is an API that answers with one text, and notes what it was asked.
type said struct {
	code  int
	text  string
	asked string
}

func (s *said) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, _ := tenant.FromContext(r.Context())
	s.asked = id + " " + r.URL.String()
	w.WriteHeader(s.code)
	_, _ = io.WriteString(w, s.text)
}

const someRules = `{"status":"success","data":{"groups":[{"name":"g","file":"f.yml","interval":15,"limit":3,"evaluationTime":0.25,"lastEvaluation":"2026-03-01T11:00:00Z","rules":[
{"state":"firing","name":"Down","query":"up == 0","duration":60,"keepFiringFor":30,"labels":{"severity":"page"},"annotations":{"summary":"it is down"},"alerts":[
{"labels":{"alertname":"Down","replica":"own"},"annotations":{"summary":"it is down"},"state":"pending","activeAt":"2026-03-01T10:59:00Z","value":"0e+00"}],
"health":"err","lastError":"too much","evaluationTime":0.5,"lastEvaluation":"2026-03-01T11:00:00Z","type":"alerting"},
{"name":"r","query":"sum(up)","labels":{"a":"b"},"health":"ok","evaluationTime":0.125,"lastEvaluation":"2026-03-01T11:00:00Z","type":"recording"}]},
{"name":"empty","file":"f.yml","rules":[]}]}}`

func set(pairs ...string) labelpb.ZLabelSet {
	return labelpb.ZLabelSet{Labels: storeapi.FromLabels(labels.FromStrings(pairs...))}
}

func (f *fixture) rules(ctx context.Context, r *rulespb.RulesRequest) (groups []*rulespb.RuleGroup, err error) {
	stream, err := rulespb.NewRulesClient(f.conn).Rules(ctx, r)
	for err == nil {
		var m *rulespb.RulesResponse
		if m, err = stream.Recv(); err == nil {
			groups = append(groups, m.GetGroup())
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return groups, err
}

func TestRules(t *testing.T) {
	api := &said{code: http.StatusOK, text: someRules}
	f := newFixture(t, func(f *fixture) { f.opts.Rules = api })
	groups, err := f.rules(t.Context(), &rulespb.RulesRequest{})
	require.NoError(t, err)
	require.Equal(t, "anonymous /api/v1/rules", api.asked)
	at := time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC)
	since := at.Add(-time.Minute)
	require.Len(t, groups, 2)
	require.Equal(t, &rulespb.RuleGroup{Name: "g", File: "f.yml", Interval: 15, Limit: 3, EvaluationDurationSeconds: .25, LastEvaluation: at, Rules: []*rulespb.Rule{
		rulespb.NewAlertingRule(&rulespb.Alert{State: rulespb.AlertState_FIRING, Name: "Down", Query: "up == 0", DurationSeconds: 60, KeepFiringForSeconds: 30,
			Labels: set("replica", "0", "severity", "page", "tenant", "anonymous"), Annotations: set("summary", "it is down"), Health: "err", LastError: "too much",
			EvaluationDurationSeconds: .5, LastEvaluation: at, Alerts: []*rulespb.AlertInstance{{Labels: set("alertname", "Down", "replica", "own", "tenant", "anonymous"),
				Annotations: set("summary", "it is down"), State: rulespb.AlertState_PENDING, ActiveAt: &since, Value: "0e+00"}}}),
		rulespb.NewRecordingRule(&rulespb.RecordingRule{Name: "r", Query: "sum(up)", Labels: set("a", "b", "replica", "0", "tenant", "anonymous"), Health: "ok",
			EvaluationDurationSeconds: .125, LastEvaluation: at}),
	}}, groups[0])
	require.Equal(t, "empty", groups[1].Name)

	_, err = f.rules(t.Context(), &rulespb.RulesRequest{Type: rulespb.RulesRequest_ALERT, RuleName: []string{"n"}, RuleGroup: []string{"g"}, File: []string{"f"}, MatcherString: []string{`{a="b"}`}})
	require.NoError(t, err)
	require.Equal(t, "anonymous /api/v1/rules?file%5B%5D=f&match%5B%5D=%7Ba%3D%22b%22%7D&rule_group%5B%5D=g&rule_name%5B%5D=n&type=alert", api.asked)

	api.code, api.text = http.StatusBadRequest, `{"status":"error","errorType":"bad_data","error":"what?"}`
	_, err = f.rules(t.Context(), &rulespb.RulesRequest{})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.ErrorContains(t, err, "what?")
	api.code, api.text = http.StatusServiceUnavailable, "no JSON"
	_, err = f.rules(t.Context(), &rulespb.RulesRequest{})
	require.Equal(t, codes.Internal, status.Code(err))
}

func TestTargets(t *testing.T) {
	api := &said{code: http.StatusOK, text: `{"status":"success","data":{"activeTargets":[
{"discoveredLabels":{"__address__":"a:1"},"labels":{"instance":"a:1","job":"j"},"scrapePool":"p","scrapeUrl":"http://a:1/metrics","globalUrl":"http://b:1/metrics","lastError":"refused","lastScrape":"2026-03-01T11:00:00Z","lastScrapeDuration":0.5,"health":"down","scrapeInterval":"15s"},
{"discoveredLabels":{},"labels":{},"health":"strange"}],"droppedTargets":[{"discoveredLabels":{"__address__":"c:1"}}],"droppedTargetCounts":{"p":1}}}`}
	f := newFixture(t, func(f *fixture) { f.opts.Targets = api })
	stream, err := targetspb.NewTargetsClient(f.conn).Targets(t.Context(), &targetspb.TargetsRequest{State: targetspb.TargetsRequest_ACTIVE})
	require.NoError(t, err)
	m, err := stream.Recv()
	require.NoError(t, err)
	require.Equal(t, "anonymous /api/v1/targets?state=active", api.asked)
	external := set("replica", "0", "tenant", "anonymous")
	require.Equal(t, &targetspb.TargetDiscovery{ActiveTargets: []*targetspb.ActiveTarget{
		{DiscoveredLabels: set("__address__", "a:1", "replica", "0", "tenant", "anonymous"), Labels: set("instance", "a:1", "job", "j", "replica", "0", "tenant", "anonymous"),
			ScrapePool: "p", ScrapeUrl: "http://a:1/metrics", GlobalUrl: "http://b:1/metrics", LastError: "refused", LastScrape: time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC),
			LastScrapeDuration: .5, Health: targetspb.TargetHealth_DOWN},
		{DiscoveredLabels: external, Labels: external, Health: targetspb.TargetHealth_UNKNOWN},
	}, DroppedTargets: []*targetspb.DroppedTarget{{DiscoveredLabels: set("__address__", "c:1", "replica", "0", "tenant", "anonymous")}}}, m.GetTargets())
	_, err = stream.Recv()
	require.ErrorIs(t, err, io.EOF)
}

// What a process hasn't it doesn't offer.
func TestServicesThatAreNotThere(t *testing.T) {
	bare := newFixture(t)
	info, err := infopb.NewInfoClient(bare.conn).Info(t.Context(), &infopb.InfoRequest{})
	require.NoError(t, err)
	require.Nil(t, info.Rules)
	require.Nil(t, info.Targets)
	_, err = bare.rules(t.Context(), &rulespb.RulesRequest{})
	require.Equal(t, codes.Unimplemented, status.Code(err))

	both := newFixture(t, func(f *fixture) { f.opts.Rules, f.opts.Targets = &said{}, &said{} })
	info, err = infopb.NewInfoClient(both.conn).Info(t.Context(), &infopb.InfoRequest{})
	require.NoError(t, err)
	require.NotNil(t, info.Rules)
	require.NotNil(t, info.Targets)
}
