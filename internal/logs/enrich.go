package logs

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"
)

// Names that Hune gives on arrival.
const (
	ServiceName    = "service_name"    // stream label
	UnknownService = "unknown_service" // its value when nothing names the service
	DetectedLevel  = "detected_level"  // structured metadata
)

// DefaultServiceNameLabels are the labels that may name a stream's service, best first.
var DefaultServiceNameLabels = []string{
	"service", "app", "application", "app_name", "name", "app_kubernetes_io_name", "container", "container_name",
	"k8s_container_name", "component", "workload", "job", "k8s_job_name",
}

// EnrichOptions say what is added to streams on arrival.
type EnrichOptions struct {
	// ServiceNameLabels are tried in order for the service_name of a stream that has none. Empty
	// turns service names off.
	ServiceNameLabels []string
	// LevelFields are the labels, metadata, JSON and logfmt keys that hold a level, most trusted
	// first. Empty turns detected_level off.
	LevelFields []string
	// JSONDepth is how deep level fields are looked for in JSON lines: 1 is the outermost object.
	// Zero means any depth.
	JSONDepth int
}

// DefaultEnrichOptions are Loki's defaults.
func DefaultEnrichOptions() EnrichOptions {
	return EnrichOptions{ServiceNameLabels: DefaultServiceNameLabels, LevelFields: DefaultLevelFields, JSONDepth: 2}
}

// Enricher makes what arrives into what is stored: a service_name label on each stream, sanitised
// structured metadata and a detected_level on each entry. Safe for concurrent use.
type Enricher struct {
	options EnrichOptions
	fields  *levelFields
}

// NewEnricher returns an Enricher.
func NewEnricher(o EnrichOptions) *Enricher {
	return &Enricher{options: o, fields: newLevelFields(o.LevelFields)}
}

// Stream enriches s in place. Labels must be sorted and free of duplicates and empty values (see
// NewLabels). The metadata slices of the entries are replaced, their backing arrays are left alone.
func (e *Enricher) Stream(s *Stream) {
	s.Labels = e.Labels(s.Labels)
	streamLevel := ""
	if len(e.options.LevelFields) > 0 {
		streamLevel = e.streamLevel(s.Labels)
	}
	n := 0
	for i := range s.Entries {
		n += len(s.Entries[i].Metadata) + 1
	}
	arena := make([]Label, 0, n)
	for i := range s.Entries {
		entry := &s.Entries[i]
		from := len(arena)
		arena = appendMetadata(arena, entry.Metadata)
		if len(e.options.LevelFields) > 0 {
			arena = e.addLevel(arena, from, streamLevel, entry.Line)
		}
		entry.Metadata = arena[from:len(arena):len(arena)]
	}
}

// Labels returns ls with a service_name.
func (e *Enricher) Labels(ls labels.Labels) labels.Labels {
	if len(e.options.ServiceNameLabels) == 0 || ls.Has(ServiceName) {
		return ls
	}
	name := UnknownService
	for _, from := range e.options.ServiceNameLabels {
		if v := ls.Get(from); v != "" {
			name = v
			break
		}
	}
	b := labels.NewBuilder(ls)
	b.Set(ServiceName, name)
	return b.Labels()
}

func (e *Enricher) streamLevel(ls labels.Labels) string {
	level, best := "", len(e.fields.rank)+1
	ls.Range(func(l labels.Label) {
		if rank, ok := e.fields.lookup(l.Name); ok && rank < best {
			level, best = namedLevel(l.Value), rank
		}
	})
	return level
}

// addLevel inserts detected_level into the sorted metadata arena[from:], unless the sender did.
func (e *Enricher) addLevel(arena []Label, from int, streamLevel, line string) []Label {
	md := arena[from:]
	at, found := slices.BinarySearchFunc(md, DetectedLevel, func(l Label, name string) int { return strings.Compare(l.Name, name) })
	if found {
		return arena
	}
	level := streamLevel
	if level == "" {
		level = e.Level(md, line)
	}
	return slices.Insert(arena, from+at, Label{DetectedLevel, level})
}

// Level returns the level of an entry of a stream whose labels name none: from its metadata, its
// OTLP severity number or its line, or "unknown".
func (e *Enricher) Level(md []Label, line string) string {
	if v, ok := e.fields.lookupLabels(md); ok {
		return namedLevel(v)
	}
	for _, l := range md {
		if l.Name == severityNumber {
			return levelOfSeverity(l.Value)
		}
	}
	return e.fields.lineLevel(line, e.options.JSONDepth)
}

// NormalizeMetadata returns md as entries want it: names sanitised, sorted, without duplicates (the
// last one counts) or empty values. Values that are not UTF-8 are made so.
func NormalizeMetadata(md []Label) []Label {
	return appendMetadata(make([]Label, 0, len(md)), md)
}

func appendMetadata(dst, md []Label) []Label {
	from := len(dst)
	sorted := true
	for _, l := range md {
		name := SanitizeName(l.Name)
		if name == "" {
			continue
		}
		value := valid(l.Value)
		if sorted && len(dst) > from && dst[len(dst)-1].Name >= name {
			sorted = false
		}
		dst = append(dst, Label{name, value})
	}
	added := dst[from:]
	if !sorted {
		slices.SortStableFunc(added, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	}
	keep := 0
	for i, l := range added {
		if i+1 < len(added) && added[i+1].Name == l.Name || l.Value == "" {
			continue
		}
		added[keep] = l
		keep++
	}
	return dst[:from+keep]
}

// valid replaces what is not UTF-8: label values go into JSON answers.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, string(utf8.RuneError))
}

// SanitizeName makes a valid label name: runes other than ASCII letters, digits and underscore
// become an underscore, a name that starts with a digit gets the prefix key_.
func SanitizeName(name string) string {
	clean := true
	for i := 0; i < len(name); i++ {
		if c := name[i]; c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') {
			clean = false
			break
		}
	}
	if clean && (name == "" || name[0] > '9') {
		return name
	}
	out := make([]byte, 0, len(name)+4)
	if name[0] >= '0' && name[0] <= '9' {
		out = append(out, "key_"...)
	}
	for _, r := range name {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') {
			r = '_'
		}
		out = append(out, byte(r))
	}
	return string(out)
}

// DuplicateLabelError says which label a stream has twice.
type DuplicateLabelError struct{ Name string }

func (e *DuplicateLabelError) Error() string {
	return fmt.Sprintf("stream has duplicate label name %q", e.Name)
}

// NewLabels builds stream labels from pairs in any order: sorted, pairs with an empty value left
// out. A name that is given twice is an error, as it is in a selector.
func NewLabels(pairs []Label) (labels.Labels, error) {
	b := labels.NewScratchBuilder(len(pairs))
	for _, p := range pairs {
		if p.Value != "" {
			b.Add(p.Name, p.Value)
		}
	}
	b.Sort()
	ls := b.Labels()
	if name, dup := ls.HasDuplicateLabelNames(); dup {
		return labels.EmptyLabels(), &DuplicateLabelError{name}
	}
	return ls, nil
}

// LabelLimits bound the labels of a stream. Zero means no limit.
type LabelLimits struct {
	MaxNames       int // without service_name, which Hune may have added itself; Loki's default is 15
	MaxNameLength  int // bytes; Loki's default is 1024
	MaxValueLength int // bytes; Loki's default is 2048
}

// The reasons of a Rejection for a stream's labels, named as Loki counts them.
const (
	ReasonMissingLabels    = "missing_labels"
	ReasonInvalidLabels    = "invalid_labels"
	ReasonTooManyLabels    = "max_label_names_per_series"
	ReasonLabelNameTooLong = "label_name_too_long"
	ReasonLabelValueTooBig = "label_value_too_long"
)

// ValidateLabels reports why a stream with these labels is refused: reason is the machine word,
// message the text for the sender, both empty for a valid stream.
func ValidateLabels(ls labels.Labels, limits LabelLimits) (reason, message string) {
	n := ls.Len()
	if n == 0 {
		return ReasonMissingLabels, "error at least one label pair is required per stream"
	}
	if ls.Has(ServiceName) {
		n--
	}
	if limits.MaxNames > 0 && n > limits.MaxNames {
		return ReasonTooManyLabels, fmt.Sprintf("entry for stream '%s' has %d label names; limit %d", ls, n, limits.MaxNames)
	}
	_ = ls.Validate(func(l labels.Label) error {
		reason, message = validateLabel(ls, l, limits)
		if reason != "" {
			return errStop
		}
		return nil
	})
	return reason, message
}

var errStop = fmt.Errorf("stop")

func validateLabel(ls labels.Labels, l labels.Label, limits LabelLimits) (reason, message string) {
	switch {
	case limits.MaxNameLength > 0 && len(l.Name) > limits.MaxNameLength:
		return ReasonLabelNameTooLong, fmt.Sprintf("stream has label name of %d bytes: '%s…'; limit %d", len(l.Name), clip(l.Name), limits.MaxNameLength)
	case limits.MaxValueLength > 0 && len(l.Value) > limits.MaxValueLength:
		return ReasonLabelValueTooBig, fmt.Sprintf("stream has label value of %d bytes for '%s': '%s…'; limit %d",
			len(l.Value), l.Name, clip(l.Value), limits.MaxValueLength)
	case !validName(l.Name):
		return ReasonInvalidLabels, fmt.Sprintf("stream '%s' has invalid label name %q", ls, l.Name)
	case !utf8.ValidString(l.Value):
		return ReasonInvalidLabels, fmt.Sprintf("stream has a value of label '%s' that is not valid UTF-8", l.Name)
	}
	return "", ""
}

// clip shortens s for an error message without cutting a rune.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	n := most
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.ToValidUTF8(s[:n], string(utf8.RuneError))
}

func validName(name string) bool {
	return name != "" && (name[0] < '0' || name[0] > '9') && SanitizeName(name) == name
}
