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

func TestMetadataOfAllTargets(t *testing.T) {
	said := func(hosts ...string) map[string]string {
		list := ""
		for i, host := range hosts {
			if i > 0 {
				list += ","
			}
			list += fmt.Sprintf(`{"target":{"instance":%q},"metric":"up","type":"gauge","help":"","unit":""}`, host)
		}
		return map[string]string{"/api/v1/targets/metadata": `{"status":"success","data":[` + list + `]}`}
	}
	for query, want := range map[string]int{"": 5, "?limit=no": 5, "?limit=0": 2, "?limit=1": 2, "?limit=3": 5, "?metric=up&limit=3": 3, "?metric=up&limit=9": 5} {
		h, own, other, gone := three(t, said("a", "b"), said("c", "d", "e"))
		status, body := get(t, h, "/api/v1/targets/metadata"+query)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, own.asked, other.asked)
		var got struct {
			Data []struct {
				Target struct{ Instance string }
				Metric string
			}
			Warnings []string
		}
		require.NoError(t, json.Unmarshal([]byte(body), &got), body)
		require.Len(t, got.Data, want, query)
		for i, d := range got.Data {
			require.Equal(t, string(rune('a'+i)), d.Target.Instance)
		}
		require.Len(t, got.Warnings, 1)
		require.Contains(t, got.Warnings[0], gone)
	}
	// Nobody has any: a list all the same.
	h, _, _, _ := three(t, said(), said())
	_, body := get(t, h, "/api/v1/targets/metadata")
	require.Contains(t, body, `"data":[]`)
}
