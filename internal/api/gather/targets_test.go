package gather_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/api/gather"
)

func target(pool, addr string) string {
	return fmt.Sprintf(`{"discoveredLabels":{"__address__":%q},"scrapePool":%q,"lastError":"a < b"}`, addr, pool)
}

func targetsAnswer(active, dropped, counts string) map[string]string {
	return map[string]string{"/api/v1/targets": fmt.Sprintf(`{"status":"success","data":{"activeTargets":[%s],"droppedTargets":[%s],"droppedTargetCounts":{%s}}}`, active, dropped, counts)}
}

func TestTargetsOfAll(t *testing.T) {
	h, own, other, gone := three(t, targetsAnswer(target("a", "1")+","+target("b", "2"), target("a", "3"), `"a":1,"b":0`),
		targetsAnswer(target("a", "4")+","+target("c", "5"), target("a", "6"), `"a":4,"c":2`))
	status, body := get(t, h, "/api/v1/targets?state=any&scrapePool=")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, []string{"/api/v1/targets?scrapePool=&state=any"}, own.asked)
	require.Equal(t, own.asked, other.asked)
	var got struct {
		Status string
		Data   struct {
			ActiveTargets, DroppedTargets []struct {
				DiscoveredLabels map[string]string
				LastError        string
			}
			DroppedTargetCounts map[string]int
		}
		Warnings []string
	}
	require.NoError(t, json.Unmarshal([]byte(body), &got), body)
	require.Equal(t, "success", got.Status)
	var active, dropped []string
	for _, a := range got.Data.ActiveTargets {
		active = append(active, a.DiscoveredLabels["__address__"])
		require.Equal(t, "a < b", a.LastError)
	}
	for _, d := range got.Data.DroppedTargets {
		dropped = append(dropped, d.DiscoveredLabels["__address__"])
	}
	require.Equal(t, []string{"1", "4", "2", "5"}, active, "by pool")
	require.Equal(t, []string{"3", "6"}, dropped)
	require.Equal(t, map[string]int{"a": 5, "b": 0, "c": 2}, got.Data.DroppedTargetCounts)
	require.Len(t, got.Warnings, 1)
	require.Contains(t, got.Warnings[0], gone+" did not answer, what it scrapes is missing")

	// A part is what is here.
	_, body = get(t, h, "/api/v1/targets", "Hune-Part")
	require.NotContains(t, body, `"4"`)
	// What is wrong is answered by who was asked.
	status, body = get(t, h, "/api/v1/targets?type=wrong")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "not supported value")

	// Rulers are asked about rules alone.
	nobody := func() []string { return nil }
	alone := gather.New(gather.Options{Rulers: func() []string { return []string{gone} }, Scrapers: nobody}).Wrap(own)
	_, body = get(t, alone, "/api/v1/targets")
	require.Equal(t, own.answers["/api/v1/targets"], body)
}
