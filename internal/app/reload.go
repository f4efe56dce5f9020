package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"github.com/hune-io/hune/internal/config"
	"github.com/hune-io/hune/internal/fault"
	"github.com/hune-io/hune/internal/telemetry"
)

// reloadable is what follows a changed configuration without a restart. take copies the section, follow makes
// the program follow the configuration that is in force then.
type reloadable struct {
	name   string
	keys   []string // of the configuration, each with everything below it
	take   func(to, from *config.Config)
	follow func(a *App, cfg *config.Config) error
}

// reloadables are followed in this order. Only scraping can fail, for reasons that no check foresees.
var reloadables = []reloadable{
	{"scraping", []string{"global", "scrape_configs", "scrape_config_files", "scrape_self", "scrape_shards", "scrape_shard", "metrics.prometheus_config"},
		func(to, from *config.Config) {
			to.Scrape, to.Metrics.PrometheusConfig = from.Scrape, from.Metrics.PrometheusConfig
		},
		func(a *App, cfg *config.Config) error {
			if a.scraper == nil {
				return nil
			}
			return a.scraper.Reload(cfg.Scraping())
		}},
	{"limits", []string{"limits", "overrides"},
		func(to, from *config.Config) { to.Limits, to.Overrides = from.Limits, from.Overrides },
		func(a *App, cfg *config.Config) error {
			if a.overrides == nil { // no role here has limits
				return nil
			}
			return a.overrides.Reload(cfg.Limits, cfg.Overrides)
		}},
	{"rules", []string{"rules.files"},
		func(to, from *config.Config) { to.Rules.Files = from.Rules.Files },
		func(a *App, cfg *config.Config) error {
			if a.ruler == nil {
				return nil
			}
			rules, _, err := cfg.Ruling()
			if err != nil {
				return err
			}
			return a.ruler.Reload(context.Background(), rules.Files)
		}},
	{"alertmanager", []string{"alertmanager.config_file"},
		func(to, from *config.Config) { to.Alertmanager.ConfigFile = from.Alertmanager.ConfigFile },
		func(a *App, cfg *config.Config) error {
			if a.alertmanager == nil {
				return nil
			}
			return a.alertmanager.Reload(cfg.Alertmanager.ConfigFile)
		}},
	{"log level", []string{"log.level"},
		func(to, from *config.Config) { to.Log.Level = from.Log.Level },
		func(a *App, cfg *config.Config) error {
			level, err := telemetry.ParseLevel(cfg.Log.Level)
			if err == nil {
				a.logLevel.Set(level)
			}
			return err
		}},
	{"reload interval", []string{"reload_interval"},
		func(to, from *config.Config) { to.ReloadInterval = from.ReloadInterval },
		func(*App, *config.Config) error { return nil }},
}

// reloader makes the program follow its configuration file, whole or not at all.
type reloader struct {
	load func() (config.Config, error) // nil: there is nothing to read again
	file string                        // "": none

	mu      sync.Mutex
	current atomic.Pointer[config.Config] // in force; writers hold mu
	read    [sha256.Size]byte             // of the files as they were last read
	ok      atomic.Bool                   // the last reload
	at      atomic.Int64                  // the last good reload, Unix milliseconds
}

func newReloader(cfg config.Config, opts Options, reg prometheus.Registerer) *reloader {
	r := &reloader{load: opts.Load, file: opts.ConfigFile}
	r.current.Store(&cfg)
	r.read = r.sum(&cfg)
	r.ok.Store(true)
	r.at.Store(time.Now().UnixMilli())
	// Under Prometheus's names too: alerts on them exist everywhere.
	for _, prefix := range []string{"hune", "prometheus"} {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + "_config_last_reload_successful",
			Help: "Whether the last reload of the configuration was successful."}, func() float64 {
			if r.ok.Load() {
				return 1
			}
			return 0
		}), prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + "_config_last_reload_success_timestamp_seconds",
			Help: "When the configuration was last read with success."}, func() float64 { return float64(r.at.Load()) / 1000 }))
	}
	return r
}

// sum identifies the content of all files that the configuration is made of.
func (r *reloader) sum(cfg *config.Config) (out [sha256.Size]byte) {
	h := sha256.New()
	scraping := cfg.Scraping()
	for _, name := range append([]string{r.file, cfg.Alertmanager.ConfigFile}, scraping.Files()...) { // the ruler looks at its own
		if name == "" {
			continue
		}
		fmt.Fprintf(h, "\x00%s\x00", name)
		f, err := os.Open(name)
		if err != nil {
			fmt.Fprint(h, err)
			continue
		}
		if _, err := io.Copy(h, f); err != nil {
			fmt.Fprint(h, err)
		}
		_ = f.Close()
	}
	h.Sum(out[:0])
	return out
}

// reload reads the configuration again and follows it. After an error the old one is in force, all of it.
func (a *App) reload() (err error) {
	r := a.reloader
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.current.Load()
	r.read = r.sum(old)
	defer func() {
		r.ok.Store(err == nil)
		if err != nil {
			a.logger.Error("the configuration was not reloaded, the old one stays in force", "err", err)
			return
		}
		r.at.Store(time.Now().UnixMilli())
	}()
	if r.load == nil {
		return fault.Errorf(fault.Unprocessable, "there is no configuration to read again")
	}
	read, err := r.load()
	if err != nil {
		return err
	}
	if data, err := filepath.Abs(read.Data); err == nil {
		read.Data = data // as at the start
	}
	next := *old
	for i := range reloadables {
		reloadables[i].take(&next, &read)
	}
	// What needs a restart keeps its old value, and the two may not fit each other.
	if err := next.Validate(); err != nil {
		return fmt.Errorf("without a restart: %w", err)
	}
	if err := a.follow(old, &next); err != nil {
		return err
	}
	// r.read stays what it was before the files were read: one that has changed since is found. Where other files
	// belong to the new configuration, it is read once more.
	r.current.Store(&next)
	a.logger.Info("configuration reloaded", "file", r.file)
	for _, text := range next.Warnings() {
		a.logger.Warn("configuration", "warning", text)
	}
	if keys := restartKeys(old, &read); len(keys) > 0 {
		a.logger.Warn("changed keys of the configuration need a restart", "keys", strings.Join(keys, ", "))
	}
	return nil
}

// follow goes over to next part by part, and back again when one fails.
func (a *App) follow(old, next *config.Config) error {
	for i, part := range reloadables {
		err := part.follow(a, next)
		if err == nil {
			continue
		}
		for _, done := range slices.Backward(reloadables[:i]) {
			err = errors.Join(err, done.follow(a, old))
		}
		return fmt.Errorf("reload %s: %w", part.name, err)
	}
	return nil
}

// restartKeys are the keys that differ and are not reloadable.
func restartKeys(old, next *config.Config) []string {
	var both [2]map[string]any
	for i, cfg := range []*config.Config{old, next} {
		text, err := yaml.Marshal(cfg)
		if err != nil {
			return nil
		}
		if err := yaml.Unmarshal(text, &both[i]); err != nil {
			return nil
		}
	}
	var out []string
	collectDiffering(both[0], both[1], "", &out)
	out = slices.DeleteFunc(out, isReloadable)
	slices.Sort(out)
	return out
}

func collectDiffering(a, b map[string]any, path string, out *[]string) {
	keys := map[string]bool{}
	for k := range a {
		keys[k] = true
	}
	for k := range b {
		keys[k] = true
	}
	for k := range keys {
		inA, okA := a[k].(map[string]any)
		inB, okB := b[k].(map[string]any)
		switch {
		case okA && okB:
			collectDiffering(inA, inB, path+k+".", out)
		case !reflect.DeepEqual(a[k], b[k]):
			*out = append(*out, path+k)
		}
	}
}

func isReloadable(key string) bool {
	for _, part := range reloadables {
		for _, k := range part.keys {
			if key == k || strings.HasPrefix(key, k+".") {
				return true
			}
		}
	}
	return false
}

// watchConfig reloads when it is asked to and when files have changed, until ctx is done. A file that is
// found bad is not tried again until it changes once more.
func (a *App) watchConfig(ctx context.Context, asked <-chan os.Signal) {
	r := a.reloader
	for {
		var tick <-chan time.Time
		stop := func() {}
		if every := time.Duration(r.current.Load().ReloadInterval); every > 0 && r.load != nil {
			t := time.NewTimer(every)
			tick, stop = t.C, func() { t.Stop() }
		}
		select {
		case <-ctx.Done():
			stop()
			return
		case <-asked:
			_ = a.reload() // is logged and counted
		case <-tick:
			if a.changed() {
				_ = a.reload()
			}
		}
		stop()
	}
}

// changed reports whether a file is not as it was last read.
func (a *App) changed() bool {
	r := a.reloader
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sum(r.current.Load()) != r.read
}

// handleReload serves POST /-/reload, as Prometheus with its lifecycle API.
func (a *App) handleReload(w http.ResponseWriter, _ *http.Request) {
	if err := a.reload(); err != nil {
		http.Error(w, "reload: "+err.Error(), http.StatusInternalServerError)
	}
}
