// Package telemetry is how Hune shows itself: the structured log, and its own logs and traces sent
// into itself where one process holds everything.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// LogConfig is the user's settings of the program's own log.
type LogConfig struct {
	// Level is the least level that is written: debug, info, warn or error. Default info.
	Level string `yaml:"level"`
	// Format is logfmt or json. Default logfmt.
	Format string `yaml:"format"`
}

// DefaultLogConfig returns the defaults.
func DefaultLogConfig() LogConfig { return LogConfig{Level: "info", Format: "logfmt"} }

// Validate reports what is wrong with c.
func (c LogConfig) Validate() error {
	var errs []error
	if _, err := c.level(); err != nil {
		errs = append(errs, err)
	}
	if c.Format != "logfmt" && c.Format != "json" {
		errs = append(errs, fmt.Errorf("format: %q must be logfmt or json", c.Format))
	}
	return errors.Join(errs...)
}

func (c LogConfig) level() (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(strings.ToUpper(c.Level))); err != nil {
		return l, fmt.Errorf("level: %q must be debug, info, warn or error", c.Level)
	}
	return l, nil
}

// NewHandler returns the handler that writes the log to w, and its level, which may be changed at any time.
func NewHandler(c LogConfig, w io.Writer) (slog.Handler, *slog.LevelVar, error) {
	least, err := c.level()
	if err != nil {
		return nil, nil, err
	}
	level := &slog.LevelVar{}
	level.Set(least)
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.NewJSONHandler(w, opts), level, nil
	}
	return slog.NewTextHandler(w, opts), level, nil
}

// ParseLevel reads debug, info, warn or error.
func ParseLevel(text string) (slog.Level, error) { return LogConfig{Level: text}.level() }

// Tee returns a handler that gives every record to both handlers.
func Tee(a, b slog.Handler) slog.Handler { return tee{a, b} }

type tee struct{ a, b slog.Handler }

func (t tee) Enabled(ctx context.Context, l slog.Level) bool {
	return t.a.Enabled(ctx, l) || t.b.Enabled(ctx, l)
}

func (t tee) Handle(ctx context.Context, r slog.Record) error {
	var errs []error
	for _, h := range []slog.Handler{t.a, t.b} {
		if h.Enabled(ctx, r.Level) {
			errs = append(errs, h.Handle(ctx, r.Clone()))
		}
	}
	return errors.Join(errs...)
}

func (t tee) WithAttrs(as []slog.Attr) slog.Handler { return tee{t.a.WithAttrs(as), t.b.WithAttrs(as)} }
func (t tee) WithGroup(name string) slog.Handler {
	return tee{t.a.WithGroup(name), t.b.WithGroup(name)}
}
