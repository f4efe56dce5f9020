package overrides

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/fault"
)

func TestStore(t *testing.T) {
	at := time.UnixMicro(1_700_000_000_000_000)
	bucket := objstore.NewInMemBucket()
	s := New(bucket, func() time.Time { return at })
	ctx := t.Context()
	_, version, err := s.Get(ctx, "a")
	require.ErrorIs(t, err, ErrNone)
	require.Equal(t, fault.NotFound, fault.ClassOf(err))
	require.Equal(t, NoVersion, version)

	v1, err := s.Set(ctx, "a", []byte(`{"metrics_generator":{"processors":["span-metrics"]},"forwarders":["f"]}`), NoVersion)
	require.NoError(t, err)
	require.Equal(t, "1700000000000000", v1)
	_, err = s.Set(ctx, "a", []byte(`{}`), NoVersion)
	require.ErrorIs(t, err, ErrVersion)
	_, err = s.Set(ctx, "a", []byte(`{"nonsense":1}`), v1)
	require.Equal(t, fault.Invalid, fault.ClassOf(err))

	// A clock that stands still makes new versions all the same.
	limits, v2, err := s.Patch(ctx, "a", []byte(`{"forwarders":null,"metrics_generator":{"collection_interval":"30s"}}`))
	require.NoError(t, err)
	require.Equal(t, "1700000000000001", v2)
	require.JSONEq(t, `{"metrics_generator":{"processors":["span-metrics"],"collection_interval":"30s"}}`, string(limits))
	got, version, err := New(bucket, nil).Get(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, v2, version)
	require.JSONEq(t, string(limits), string(got))
	_, _, err = s.Patch(ctx, "a", []byte(`{"metrics_generator":{"collection_interval":"1s"}}`))
	require.ErrorContains(t, err, "outside of the range")

	// Tenants are apart.
	_, _, err = s.Get(ctx, "b")
	require.ErrorIs(t, err, ErrNone)
	_, _, err = s.Patch(ctx, "b", []byte(`{"forwarders":["x"]}`))
	require.NoError(t, err)

	require.ErrorIs(t, s.Delete(ctx, "a", v1), ErrVersion)
	require.NoError(t, s.Delete(ctx, "a", v2))
	_, _, err = s.Get(ctx, "a")
	require.ErrorIs(t, err, ErrNone)
	require.NoError(t, s.Delete(ctx, "a", NoVersion))
	require.Len(t, bucket.Objects(), 1)

	require.NoError(t, bucket.Upload(ctx, "b/overrides/traces.json", strings.NewReader("{")))
	_, _, err = s.Get(ctx, "b")
	require.ErrorContains(t, err, "overrides of b are damaged")
}

// TestWritersAtOnce: of writers that saw the same version one wins.
func TestWritersAtOnce(t *testing.T) {
	s := New(objstore.NewInMemBucket(), nil)
	var wg sync.WaitGroup
	won := make(chan int, 8)
	for i := range 8 {
		wg.Go(func() {
			if _, err := s.Set(t.Context(), "a", fmt.Appendf(nil, `{"forwarders":["%d"]}`, i), NoVersion); err == nil {
				won <- i
			}
		})
	}
	wg.Wait()
	require.Len(t, won, 1)
	limits, _, err := s.Get(t.Context(), "a")
	require.NoError(t, err)
	require.JSONEq(t, fmt.Sprintf(`{"forwarders":["%d"]}`, <-won), string(limits))
}

// TestMergePatch has the examples of RFC 7386 that have objects on both sides.
func TestMergePatch(t *testing.T) {
	for _, tc := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		got, err := mergePatch([]byte(tc[0]), []byte(tc[1]))
		require.NoError(t, err)
		require.JSONEq(t, tc[2], string(got), tc)
	}
	_, err := mergePatch([]byte(`{}`), []byte(`{`))
	require.Equal(t, fault.Invalid, fault.ClassOf(err))
}

func TestParseLimits(t *testing.T) {
	full := `{"cost_attribution":{"dimensions":{"service":"svc"}},"metrics_generator":{"processors":["service-graphs","host-info"],"collection_interval":"15s",
		"generate_native_histograms":"both","native_histogram_bucket_factor":1.1,"processor":{"service_graphs":{"histogram_buckets":[0.1,1],"peer_attributes":["db.name"]},
		"span_metrics":{"dimensions":["http.route"],"intrinsic_dimensions":{"span_kind":false},"dimension_mappings":[{"name":"x","source_labels":["a","b"],"join":"/"}],
		"filter_policies":[{"include":{"match_type":"regex","attributes":[{"key":"resource.service.name","value":"a.*"}]}},
			{"exclude":{"match_type":"strict","attributes":[{"key":"kind","value":"client"},{"key":"span.n","value":3}]}}]}}}}`
	l, err := ParseLimits([]byte(full))
	require.NoError(t, err)
	again, err := json.Marshal(l)
	require.NoError(t, err)
	require.JSONEq(t, full, string(again))

	generator := func(s string) string { return `{"metrics_generator":` + s + `}` }
	policy := func(s string) string {
		return generator(`{"processor":{"span_metrics":{"filter_policies":[` + s + `]}}}`)
	}
	for doc, want := range map[string]string{
		``: "malformed overrides", `{}x`: "something follows", `{"a":1}`: `unknown field "a"`, `[]`: "malformed overrides",
		generator(`{"processors":["nope"]}`):                                               "not a known processor",
		generator(`{"generate_native_histograms":"nope"}`):                                 "not valid",
		generator(`{"collection_interval":15}`):                                            "duration as text",
		generator(`{"collection_interval":"1h"}`):                                          "outside of the range",
		generator(`{"native_histogram_bucket_factor":1}`):                                  "greater than 1",
		generator(`{"processor":{"service_graphs":{"histogram_buckets":[2,1]}}}`):          "increasing order",
		generator(`{"processor":{"span_metrics":{"histogram_buckets":[1,1]}}}`):            "increasing order",
		generator(`{"processor":{"span_metrics":{"intrinsic_dimensions":{"nope":true}}}}`): "intrinsic_dimensions",
		policy(`{}`): "needs include",
		policy(`{"include":{"match_type":"nope"}}`):                                                     "match_type",
		policy(`{"include":{"match_type":"strict","attributes":[{"key":"service.name","value":"x"}]}}`): "unknown identifier",
		policy(`{"include_any":{"match_type":"strict","attributes":[{"key":"event.x","value":"x"}]}}`):  "only the scopes",
		policy(`{"include":{"match_type":"regex","attributes":[{"key":"span.x","value":"("}]}}`):        "missing closing",
		policy(`{"exclude":{"match_type":"regex","attributes":[{"key":"span.x","value":5}]}}`):          "must be a text",
	} {
		_, err := ParseLimits([]byte(doc))
		require.ErrorContains(t, err, want, doc)
		require.Equal(t, fault.Invalid, fault.ClassOf(err), doc)
	}
}

func FuzzParseLimits(f *testing.F) {
	f.Add([]byte(`{"metrics_generator":{"collection_interval":"15s","processor":{"span_metrics":{"filter_policies":[{"include":{"match_type":"strict","attributes":[{"key":"span.x","value":1}]}}]}}}}`), []byte(`{"forwarders":null}`))
	f.Fuzz(func(t *testing.T, doc, patch []byte) {
		l, err := ParseLimits(doc)
		if err != nil {
			return
		}
		clean, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseLimits(clean); err != nil {
			t.Fatalf("%s is written as %s: %v", doc, clean, err)
		}
		_, _ = mergePatch(clean, patch)
	})
}
