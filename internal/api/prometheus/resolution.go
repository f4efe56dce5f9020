package prometheus

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
)

// autoSteps is how many samples of downsampled data "auto" wants in a step, as Thanos does.
const autoSteps = 5

type resolutionKey struct{}

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

// withResolution passes max_source_resolution on to the engine: a duration, seconds, or "auto".
func withResolution(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := r.FormValue("max_source_resolution")
		if text == "" {
			next.ServeHTTP(w, r)
			return
		}
		parsed, ok := parseResolution(text)
		if !ok {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": "bad_data",
				"error": "invalid parameter \"max_source_resolution\": " + strconv.Quote(text) + " is neither a duration nor auto"})
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), resolutionKey{}, parsed)))
	})
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
