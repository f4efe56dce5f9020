package ruler

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/prometheus/common/model"
)

// Config is the section `rules` of the configuration.
type Config struct {
	// Files are rule files of Prometheus, as globs. Their groups may say `signal: logs` or `signal: traces` and then
	// hold LogQL or TraceQL. They belong to the tenant of the program's own telemetry.
	Files []string `yaml:"files"`
	// Defaults are rules about Hune itself and its host. Default true.
	Defaults bool `yaml:"defaults"`
	// EvaluationInterval is the time between two evaluations of a group that names none. Default 1m.
	EvaluationInterval model.Duration `yaml:"evaluation_interval"`
	// QueryOffset moves evaluations to the past, for data that arrives late. Default 0s.
	QueryOffset model.Duration `yaml:"query_offset"`
	// ResendDelay is the least time between two messages to the alertmanager about one alert. Default 1m.
	ResendDelay model.Duration `yaml:"resend_delay"`
	// ForOutageTolerance is how long nothing may have been evaluated for the state of `for` to be restored. Default 1h.
	ForOutageTolerance model.Duration `yaml:"for_outage_tolerance"`
	// ForGracePeriod is the least time that a restored alert stays pending. Default 10m.
	ForGracePeriod model.Duration `yaml:"for_grace_period"`
	// MaxConcurrentEvals bounds the rules of one tenant and signal that are evaluated at once, beside one of each group. Default 4.
	MaxConcurrentEvals int64 `yaml:"max_concurrent_evals"`
	// QueryTimeout bounds one evaluation. Default 2m.
	QueryTimeout model.Duration `yaml:"query_timeout"`
	// PollInterval is how often rule files and groups set elsewhere over the API are looked for. Default 15s.
	PollInterval model.Duration `yaml:"poll_interval"`
	// ExternalLabels are added to every alert that is sent, and are there for templates.
	ExternalLabels map[string]string `yaml:"external_labels"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{Defaults: true, EvaluationInterval: model.Duration(time.Minute), ResendDelay: model.Duration(time.Minute), ForOutageTolerance: model.Duration(time.Hour),
		ForGracePeriod: model.Duration(10 * time.Minute), MaxConcurrentEvals: 4, QueryTimeout: model.Duration(2 * time.Minute), PollInterval: model.Duration(15 * time.Second)}
}

// Validate reports every fault of c but those inside of the rule files.
func (c Config) Validate() error {
	var errs []error
	for name, d := range map[string]model.Duration{"evaluation_interval": c.EvaluationInterval, "resend_delay": c.ResendDelay,
		"query_timeout": c.QueryTimeout, "poll_interval": c.PollInterval} {
		if d <= 0 {
			errs = append(errs, fmt.Errorf("rules.%s: must be above 0s", name))
		}
	}
	if c.QueryOffset < 0 || c.ForOutageTolerance < 0 || c.ForGracePeriod < 0 {
		errs = append(errs, errors.New("rules: query_offset, for_outage_tolerance and for_grace_period must not be negative"))
	}
	if c.MaxConcurrentEvals < 1 {
		errs = append(errs, errors.New("rules.max_concurrent_evals: must be above 0"))
	}
	for _, glob := range c.Files {
		if _, err := filepath.Match(glob, ""); err != nil {
			errs = append(errs, fmt.Errorf("rules.files: %q: %w", glob, err))
		}
	}
	for name := range c.ExternalLabels {
		if !model.UTF8Validation.IsValidLabelName(name) {
			errs = append(errs, fmt.Errorf("rules.external_labels: %q is not a label name", name))
		}
	}
	return errors.Join(errs...)
}
