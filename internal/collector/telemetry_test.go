package collector

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

type registry struct{ *prometheus.Registry }

func newRegistry() registry { return registry{prometheus.NewRegistry()} }

func (r registry) has(t *testing.T, name string) bool {
	t.Helper()
	families, err := r.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return true
		}
	}
	return false
}

func TestLogGoesToSlog(t *testing.T) {
	var out bytes.Buffer
	h := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	l := zap.New(&slogCore{handler: h, level: zapcore.WarnLevel}).With(zap.String("component", "otlp"))
	l.Info("hidden")
	l.Warn("shown", zap.Int("n", 3), zap.Error(errors.New("boom")), zap.Skip())
	l.Error("bad")
	require.Equal(t, `level=WARN msg="collector: shown" component=otlp n=3 err=boom
level=ERROR msg="collector: bad" component=otlp
`, out.String())
}
