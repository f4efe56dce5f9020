package metrics

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/metadata"
)

const (
	maxHelp = 1024 // bytes of help text kept for each metric
	// maxVariants is how many different descriptions of one metric are kept; targets of different
	// versions disagree now and then.
	maxVariants = 4
)

// metadataStore keeps type, help and unit of a tenant's metrics: a bounded map, written to a JSON
// file now and then. Losing the last minutes of it is harmless, senders repeat it.
type metadataStore struct {
	path string
	max  int

	mu      sync.RWMutex
	byName  map[string][]metadata.Metadata
	changed bool
}

func openMetadataStore(path string, limit int, logger *slog.Logger) *metadataStore {
	s := &metadataStore{path: path, max: limit, byName: map[string][]metadata.Metadata{}}
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return s
	}
	if err == nil {
		err = json.Unmarshal(data, &s.byName)
	}
	if err != nil {
		logger.Warn("metric metadata can't be read, senders will send it again", "path", path, "err", err)
		s.byName = map[string][]metadata.Metadata{}
	}
	return s
}

// put remembers m for the family that the series named name belongs to.
func (s *metadataStore) put(name string, m metadata.Metadata) {
	if name == "" || s.max == 0 || (m.Type == "" || m.Type == model.MetricTypeUnknown) && m.Help == "" && m.Unit == "" {
		return
	}
	name = familyName(name, m.Type)
	if len(m.Help) > maxHelp {
		m.Help = strings.ToValidUTF8(m.Help[:maxHelp], "")
	}
	s.mu.RLock()
	known := s.byName[name]
	found := len(known) > 0 && known[0] == m
	s.mu.RUnlock()
	if found {
		return // the usual case
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known = s.byName[name]
	if known == nil && len(s.byName) >= s.max {
		return
	}
	// The newest first. A new slice each time: readers may hold the old one.
	fresh := append(make([]metadata.Metadata, 0, len(known)+1), cloneMetadata(m))
	for _, k := range known {
		if k != m && len(fresh) < maxVariants {
			fresh = append(fresh, k)
		}
	}
	s.byName[strings.Clone(name)] = fresh
	s.changed = true
}

// cloneMetadata keeps the map from pinning the decoded request that the strings point into.
func cloneMetadata(m metadata.Metadata) metadata.Metadata {
	return metadata.Metadata{Type: m.Type, Help: strings.Clone(m.Help), Unit: strings.Clone(m.Unit)}
}

// get returns the metadata of one metric, or of limit metrics (0: all) when name is empty.
func (s *metadataStore) get(name string, limit int) map[string][]metadata.Metadata {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := map[string][]metadata.Metadata{}
	if name != "" {
		if m, ok := s.byName[name]; ok {
			out[name] = m
		}
		return out
	}
	names := make([]string, 0, len(s.byName))
	for n := range s.byName {
		names = append(names, n)
	}
	slices.Sort(names)
	if limit > 0 && len(names) > limit {
		names = names[:limit]
	}
	for _, n := range names {
		out[n] = s.byName[n]
	}
	return out
}

// save writes the file when something has changed.
func (s *metadataStore) save() error {
	s.mu.Lock()
	if !s.changed {
		s.mu.Unlock()
		return nil
	}
	data, err := json.Marshal(s.byName)
	s.changed = false
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return writeFileAtomic(s.path, data)
}

// familyName strips the suffix that the series of classic histograms and summaries carry.
func familyName(name string, t model.MetricType) string {
	var suffixes []string
	switch t {
	case model.MetricTypeHistogram:
		suffixes = []string{"_bucket", "_sum", "_count"}
	case model.MetricTypeGaugeHistogram:
		suffixes = []string{"_bucket", "_gsum", "_gcount"}
	case model.MetricTypeSummary:
		suffixes = []string{"_sum", "_count"}
	}
	for _, suffix := range suffixes {
		if base := strings.TrimSuffix(name, suffix); base != name && base != "" {
			return base
		}
	}
	return name
}

// writeFileAtomic replaces path: after a crash the old or the new content is there, whole.
func writeFileAtomic(path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
		return err
	}
	return syncDir(filepath.Dir(path))
}
