package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/hune-io/hune/internal/metrics"
)

// autoSteps is how many samples of downsampled data "auto" wants in a step, as Thanos does.
const autoSteps = 5

type optionsKey struct{}

// queryOptions are the parameters of a query that the library doesn't know: Thanos's, and whether statistics are
// wanted.
type queryOptions struct {
	engine     string
	resolution resolution
	stats      bool
	replicas   []string // labels of replicas to deduplicate; nil: the configured ones
	noDedup    bool
	partial    *bool // partial_response; nil: as the configuration says
	stores     [][]metrics.Matcher
}

// apply sets the options that every kind of query has.
func (o queryOptions) apply(q *metrics.Query) {
	q.ReplicaLabels, q.NoDedup, q.Stores = o.replicas, o.noDedup, o.stores
}

func optionsFrom(ctx context.Context) queryOptions {
	o, _ := ctx.Value(optionsKey{}).(queryOptions)
	return o
}

// resolution is Thanos's parameter max_source_resolution: the coarsest downsampled data that may answer.
type resolution struct {
	most time.Duration
	auto bool // of a fifth of the step
}

func (r resolution) of(step time.Duration) time.Duration {
	if r.auto {
		return step / autoSteps
	}
	return r.most
}

// withOptions passes the parameters that the library doesn't know on to the engine.
func withOptions(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o, err := parseOptions(r)
		if err != nil {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": "bad_data", "error": err.Error()})
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), optionsKey{}, o)))
	})
}

func parseOptions(r *http.Request) (o queryOptions, err error) {
	invalid := func(name string, err error) error { return fmt.Errorf("invalid parameter %q: %w", name, err) }
	if err := r.ParseForm(); err != nil {
		return o, fmt.Errorf("error parsing form values: %w", err)
	}
	o.stats, o.engine = r.FormValue("stats") != "", r.FormValue("engine")
	if err := metrics.CheckEngine(o.engine); err != nil {
		return o, invalid("engine", err)
	}
	if text := r.FormValue("max_source_resolution"); text != "" {
		var ok bool
		if o.resolution, ok = parseResolution(text); !ok {
			return o, invalid("max_source_resolution", fmt.Errorf("%q is neither a duration nor auto", text))
		}
	}
	dedup, err := boolParam(r, "dedup", true)
	if err != nil {
		return o, err
	}
	o.noDedup, o.replicas = !dedup, r.Form["replicaLabels[]"]
	for _, name := range o.replicas {
		if !model.UTF8Validation.IsValidLabelName(name) || name == model.MetricNameLabel {
			return o, invalid("replicaLabels[]", fmt.Errorf("%q is not a label that replicas can have", name))
		}
	}
	if r.FormValue("partial_response") != "" {
		partial, err := boolParam(r, "partial_response", true)
		if err != nil {
			return o, err
		}
		o.partial = &partial
	}
	for _, text := range r.Form["storeMatch[]"] {
		ms, err := parser.ParseMetricSelector(text)
		if err != nil {
			return o, invalid("storeMatch[]", err)
		}
		o.stores = append(o.stores, metrics.FromMatchers(ms))
	}
	return o, nil
}

func boolParam(r *http.Request, name string, fallback bool) (bool, error) {
	text := r.FormValue(name)
	if text == "" {
		return fallback, nil
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("invalid parameter %q: %q is neither true nor false", name, text)
	}
	return v, nil
}

func parseResolution(text string) (resolution, bool) {
	if text == "auto" {
		return resolution{auto: true}, true
	}
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		ok := s >= 0 && s <= (100*365*24*time.Hour).Seconds()
		return resolution{most: time.Duration(s * float64(time.Second))}, ok
	}
	d, err := model.ParseDuration(text)
	return resolution{most: time.Duration(d)}, err == nil
}
