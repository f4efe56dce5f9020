package loki

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/tenant"
)

// Limits are a tenant's limits under the names that Loki's configuration has for them. Zero means no limit.
type Limits struct {
	IngestionRateMB            float64           `json:"ingestion_rate_mb" yaml:"ingestion_rate_mb"`
	IngestionBurstSizeMB       float64           `json:"ingestion_burst_size_mb" yaml:"ingestion_burst_size_mb"`
	MaxLineSize                Size              `json:"max_line_size" yaml:"max_line_size"`
	MaxLineSizeTruncate        bool              `json:"max_line_size_truncate" yaml:"max_line_size_truncate"`
	MaxLabelNamesPerSeries     int               `json:"max_label_names_per_series" yaml:"max_label_names_per_series"`
	MaxLabelNameLength         int               `json:"max_label_name_length" yaml:"max_label_name_length"`
	MaxLabelValueLength        int               `json:"max_label_value_length" yaml:"max_label_value_length"`
	AllowStructuredMetadata    bool              `json:"allow_structured_metadata" yaml:"allow_structured_metadata"`
	MaxStructuredMetadataSize  Size              `json:"max_structured_metadata_size" yaml:"max_structured_metadata_size"`
	MaxStructuredMetadataCount int               `json:"max_structured_metadata_entries_count" yaml:"max_structured_metadata_entries_count"`
	RejectOldSamples           bool              `json:"reject_old_samples" yaml:"reject_old_samples"`
	RejectOldSamplesMaxAge     model.Duration    `json:"reject_old_samples_max_age" yaml:"reject_old_samples_max_age"`
	CreationGracePeriod        model.Duration    `json:"creation_grace_period" yaml:"creation_grace_period"`
	DiscoverServiceName        []string          `json:"discover_service_name" yaml:"discover_service_name"`
	DiscoverLogLevels          bool              `json:"discover_log_levels" yaml:"discover_log_levels"`
	LogLevelFields             []string          `json:"log_level_fields" yaml:"log_level_fields"`
	MaxEntries                 int               `json:"max_entries_limit_per_query" yaml:"max_entries_limit_per_query"`
	MaxQuerySeries             int               `json:"max_query_series" yaml:"max_query_series"`
	MaxQueryLength             model.Duration    `json:"max_query_length" yaml:"max_query_length"`
	MaxQueryLookback           model.Duration    `json:"max_query_lookback" yaml:"max_query_lookback"`
	MaxQueryBytesRead          Size              `json:"max_query_bytes_read" yaml:"max_query_bytes_read"`
	QueryTimeout               model.Duration    `json:"query_timeout" yaml:"query_timeout"`
	MaxConcurrentTails         int               `json:"max_concurrent_tail_requests" yaml:"max_concurrent_tail_requests"`
	VolumeEnabled              bool              `json:"volume_enabled" yaml:"volume_enabled"`
	RetentionPeriod            model.Duration    `json:"retention_period" yaml:"retention_period"`
	RetentionStream            []StreamRetention `json:"retention_stream" yaml:"retention_stream"`
	DeletionMode               string            `json:"deletion_mode" yaml:"deletion_mode"`
}

// StreamRetention is how long the streams of a selector are kept.
type StreamRetention struct {
	Period   model.Duration `json:"period" yaml:"period"`
	Priority int            `json:"priority" yaml:"priority"`
	Selector string         `json:"selector" yaml:"selector"`
}

// Size is an amount of bytes, written as 256KB: the units are powers of 1024.
type Size int64

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) {
	n, unit := int64(s), 0
	for n != 0 && n%1024 == 0 && unit < len(sizeUnits)-1 {
		n /= 1024
		unit++
	}
	return fmt.Appendf(nil, "%d%s", n, sizeUnits[unit]), nil
}

var sizeUnits = [...]string{"B", "KB", "MB", "GB", "TB"}

func defaultLimits(string) Limits {
	return Limits{MaxEntries: 5000, MaxQuerySeries: 500, QueryTimeout: model.Duration(2 * time.Minute), DiscoverLogLevels: true, DiscoverServiceName: logs.DefaultServiceNameLabels,
		VolumeEnabled: true}
}

// drilldownLimits tells Logs Drilldown what it may ask for.
func (h *Handler) drilldownLimits(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		return fault.New(fault.Invalid, err)
	}
	l := h.o.Limits(id)
	writeJSON(w, http.StatusOK, struct {
		Limits                 Limits `json:"limits"`
		PatternIngesterEnabled bool   `json:"pattern_ingester_enabled"`
		Version                string `json:"version"`
		MaxLinesPerQuery       int    `json:"maxLinesPerQuery"`
	}{l, true, h.o.Version.Version, l.MaxEntries})
	return nil
}

// tenantLimits shows a tenant its limits, as YAML.
func (h *Handler) tenantLimits(w http.ResponseWriter, r *http.Request) error {
	id, err := tenant.FromContext(r.Context())
	if err != nil {
		return fault.New(fault.Invalid, err)
	}
	// As plain text, so that a browser shows it.
	return writeYAML(w, "text/plain; charset=utf-8", h.o.Limits(id))
}

// maxTags bounds what of X-Query-Tags is kept, in bytes.
const maxTags = 512

// queryTags returns what a client says about where a query comes from, such as Source=grafana: letters,
// digits and a few signs; a run of anything else is an underscore.
func queryTags(r *http.Request) string {
	tags := r.Header.Get("X-Query-Tags")
	tags = tags[:min(len(tags), maxTags)]
	var b strings.Builder
	bad := false
	for i := range len(tags) {
		c := tags[i]
		good := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-=.@, ", c) >= 0
		switch {
		case good:
			b.WriteByte(c)
		case !bad:
			b.WriteByte('_')
		}
		bad = !good
	}
	return b.String()
}

func writeYAML(w http.ResponseWriter, contentType string, v any) error {
	text, err := yaml.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(text) // the client has gone away: nobody is left to tell
	return nil
}
