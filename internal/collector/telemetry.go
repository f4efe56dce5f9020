package collector

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	nooptrace "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configtelemetry"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/service/telemetry"
)

// telemetryConfig is the section service::telemetry. It is the collector's own, as far as it makes
// sense inside of Hune: the log goes to Hune's, metrics to Hune's /metrics; nothing is opened or
// written. Keys that say where the telemetry should go are accepted and ignored with a warning, so
// that a configuration of a stand-alone collector works as it is.
type telemetryConfig struct {
	Logs     logsTelemetry    `mapstructure:"logs"`
	Metrics  metricsTelemetry `mapstructure:"metrics"`
	Traces   map[string]any   `mapstructure:"traces"`
	Resource map[string]any   `mapstructure:"resource"`
}

type logsTelemetry struct {
	Level zapcore.Level  `mapstructure:"level"`
	Rest  map[string]any `mapstructure:",remain"`
}

type metricsTelemetry struct {
	Level configtelemetry.Level `mapstructure:"level"`
	Rest  map[string]any        `mapstructure:",remain"`
}

// silentTelemetry is for checking a configuration.
func silentTelemetry() telemetry.Factory {
	return newTelemetry(slog.New(slog.DiscardHandler), nil)
}

// newTelemetry connects the collector's log and metrics with Hune's.
func newTelemetry(logger *slog.Logger, reg prometheus.Registerer) telemetry.Factory {
	create := func() component.Config {
		return &telemetryConfig{
			Logs:    logsTelemetry{Level: zapcore.WarnLevel},
			Metrics: metricsTelemetry{Level: configtelemetry.LevelNone},
		}
	}
	return telemetry.NewFactory(create,
		telemetry.WithCreateResource(func(_ context.Context, _ telemetry.Settings, cfg component.Config) (pcommon.Resource, error) {
			r := pcommon.NewResource()
			for k, v := range cfg.(*telemetryConfig).Resource {
				if v != nil {
					r.Attributes().PutStr(k, fmt.Sprint(v))
				}
			}
			return r, nil
		}),
		telemetry.WithCreateLogger(func(_ context.Context, _ telemetry.LoggerSettings, cfg component.Config) (*zap.Logger, component.ShutdownFunc, error) {
			c := cfg.(*telemetryConfig)
			if len(c.Logs.Rest)+len(c.Metrics.Rest)+len(c.Traces) > 0 {
				logger.Warn("the collector's service::telemetry knows logs::level, metrics::level and resource here, the rest is ignored")
			}
			core := &slogCore{handler: logger.Handler(), level: c.Logs.Level}
			return zap.New(core, zap.WithFatalHook(zapcore.WriteThenPanic)), func(context.Context) error { return nil }, nil
		}),
		telemetry.WithCreateMeterProvider(func(_ context.Context, _ telemetry.MeterSettings, cfg component.Config) (telemetry.MeterProvider, error) {
			if reg == nil || cfg.(*telemetryConfig).Metrics.Level == configtelemetry.LevelNone {
				return noMeter{}, nil
			}
			e, err := promexporter.New(promexporter.WithRegisterer(reg), promexporter.WithoutScopeInfo(), promexporter.WithoutTargetInfo())
			if err != nil {
				return nil, err
			}
			return sdkmetric.NewMeterProvider(sdkmetric.WithReader(e)), nil
		}),
		telemetry.WithCreateTracerProvider(func(context.Context, telemetry.TracerSettings, component.Config) (telemetry.TracerProvider, error) {
			return noTracer{}, nil
		}),
	)
}

type noMeter struct{ noop.MeterProvider }

func (noMeter) Shutdown(context.Context) error { return nil }

type noTracer struct{ nooptrace.TracerProvider }

func (noTracer) Shutdown(context.Context) error { return nil }

// slogCore writes the collector's log records with slog.
type slogCore struct {
	handler slog.Handler
	level   zapcore.Level
}

var slogLevels = map[zapcore.Level]slog.Level{
	zapcore.DebugLevel: slog.LevelDebug, zapcore.InfoLevel: slog.LevelInfo, zapcore.WarnLevel: slog.LevelWarn,
}

func slogLevel(l zapcore.Level) slog.Level {
	if s, ok := slogLevels[l]; ok {
		return s
	}
	return slog.LevelError
}

// Enabled implements zapcore.Core.
func (c *slogCore) Enabled(l zapcore.Level) bool {
	return l >= c.level && c.handler.Enabled(context.Background(), slogLevel(l))
}

// With implements zapcore.Core.
func (c *slogCore) With(fields []zapcore.Field) zapcore.Core {
	return &slogCore{handler: c.handler.WithAttrs(attrs(fields)), level: c.level}
}

// Check implements zapcore.Core.
func (c *slogCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write implements zapcore.Core.
func (c *slogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	at := e.Time
	if at.IsZero() {
		at = time.Now()
	}
	r := slog.NewRecord(at, slogLevel(e.Level), "collector: "+e.Message, 0)
	r.AddAttrs(attrs(fields)...)
	return c.handler.Handle(context.Background(), r)
}

// Sync implements zapcore.Core.
func (c *slogCore) Sync() error { return nil }

func attrs(fields []zapcore.Field) []slog.Attr {
	enc := zapcore.NewMapObjectEncoder()
	out := make([]slog.Attr, 0, len(fields))
	for _, f := range fields {
		if f.Type == zapcore.SkipType {
			continue
		}
		key := f.Key
		if f.Type == zapcore.ErrorType {
			if err, ok := f.Interface.(error); ok && err != nil {
				out = append(out, slog.String("err", err.Error()))
			}
			continue
		}
		f.AddTo(enc)
		if v, ok := enc.Fields[key]; ok {
			out = append(out, slog.Any(key, v))
		}
	}
	return out
}
