package prometheus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	v1 "github.com/prometheus/prometheus/web/api/v1"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/metrics"
)

// recordingAdmin notes what it is asked.
type recordingAdmin struct {
	asked []string
	err   error
}

func (a *recordingAdmin) note(format string, args ...any) error {
	a.asked = append(a.asked, fmt.Sprintf(format, args...))
	return a.err
}

func (a *recordingAdmin) DeleteSeries(_ context.Context, tenant string, selectors []string, start, end int64) error {
	return a.note("delete %s %q %d %d", tenant, selectors, start, end)
}

func (a *recordingAdmin) CleanTombstones(_ context.Context, tenant string) error {
	return a.note("clean %s", tenant)
}

func (a *recordingAdmin) Snapshot(_ context.Context, tenant string, skipHead bool) (string, error) {
	return "20260301T110000Z-0000000000000001", a.note("snapshot %s %v", tenant, skipHead)
}

func TestAdmin(t *testing.T) {
	minTime, maxTime := url.QueryEscape(v1.MinTime.Format(time.RFC3339Nano)), url.QueryEscape(v1.MaxTime.Format(time.RFC3339Nano))
	for _, c := range []struct {
		path  string
		code  int
		want  string // what was asked, or a part of the answer
		fault error
	}{
		{"delete_series?match[]=up&match[]={a=\"b\"}&start=1&end=2.5", 204, `delete anonymous ["up" "{a=\"b\"}"] 1000 2500`, nil},
		{"delete_series?match[]=up&start=2026-03-01T11:00:00Z", 204, fmt.Sprintf(`delete anonymous ["up"] %d %d`, at(0), int64(metrics.MaxTime)), nil},
		{"delete_series?match[]=up&start=" + minTime + "&end=" + maxTime, 204, fmt.Sprintf(`delete anonymous ["up"] %d %d`, int64(metrics.MinTime), int64(metrics.MaxTime)), nil},
		{"delete_series", 400, `no match[] parameter provided`, nil},
		{"delete_series?match[]=up{", 400, `invalid parameter \"match[]\": `, nil},
		{"delete_series?match[]=up&start=yesterday", 400, `invalid parameter \"start\": cannot parse \"yesterday\" to a valid timestamp`, nil},
		{"delete_series?match[]=up", 500, `"errorType":"internal"`, errors.New("the disk is full")},
		{"delete_series?match[]=up", 503, `"errorType":"unavailable"`, fault.Errorf(fault.Unavailable, "later")},
		{"clean_tombstones", 204, "clean anonymous", nil},
		{"snapshot", 200, "snapshot anonymous false", nil},
		{"snapshot?skip_head=true", 200, "snapshot anonymous true", nil},
		{"snapshot?skip_head=perhaps", 400, `invalid parameter \"skip_head\": unable to parse boolean`, nil},
		{"snapshot", 500, "create snapshot: no room", errors.New("no room")},
	} {
		for _, method := range []string{http.MethodPost, http.MethodPut} {
			admin := &recordingAdmin{err: c.fault}
			s := newServer(t, func(o *Options) { o.Admin = admin })
			w := s.do(httptest.NewRequest(method, "/api/v1/admin/tsdb/"+c.path, nil))
			require.Equal(t, c.code, w.Code, "%s: %s", c.path, w.Body)
			if c.code < 300 {
				require.Equal(t, []string{c.want}, admin.asked, c.path)
			} else {
				require.Contains(t, w.Body.String(), c.want, c.path)
			}
			if c.code == 200 {
				require.JSONEq(t, `{"status":"success","data":{"name":"20260301T110000Z-0000000000000001"}}`, w.Body.String())
			}
		}
	}
	form := httptest.NewRequest(http.MethodPost, "/api/v1/admin/tsdb/delete_series", strings.NewReader("match[]=up&end=1"))
	form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	admin := &recordingAdmin{}
	require.Equal(t, 204, newServer(t, func(o *Options) { o.Admin = admin }).do(form).Code)
	require.Equal(t, []string{fmt.Sprintf(`delete anonymous ["up"] %d 1000`, int64(metrics.MinTime))}, admin.asked)
	require.Equal(t, http.StatusMethodNotAllowed, newServer(t).get("/api/v1/admin/tsdb/snapshot").Code)
}
