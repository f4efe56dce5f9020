package telemetry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLogConfig(t *testing.T) {
	require.NoError(t, DefaultLogConfig().Validate())
	for _, c := range []struct {
		cfg  LogConfig
		want []string // parts of the error; none: valid
	}{
		{LogConfig{"debug", "json"}, nil},
		{LogConfig{"WARN", "logfmt"}, nil},
		{LogConfig{"error", "logfmt"}, nil},
		{LogConfig{"loud", "json"}, []string{`level: "loud" must be debug, info, warn or error`}},
		{LogConfig{"", "json"}, []string{`level: ""`}},
		{LogConfig{"info", "xml"}, []string{`format: "xml" must be logfmt or json`}},
		{LogConfig{"loud", "xml"}, []string{`level: "loud"`, `format: "xml"`}},
	} {
		err := c.cfg.Validate()
		if len(c.want) == 0 {
			require.NoError(t, err, "%+v", c.cfg)
		}
		for _, part := range c.want {
			require.ErrorContains(t, err, part, "%+v", c.cfg)
		}
	}
}

func TestNewHandler(t *testing.T) {
	for _, c := range []struct {
		cfg  LogConfig
		want string
	}{
		{LogConfig{"warn", "logfmt"}, "level=WARN msg=low disk=sda\n"},
		{LogConfig{"warn", "json"}, `{"level":"WARN","msg":"low","disk":"sda"}` + "\n"},
		{LogConfig{"error", "json"}, ""},
	} {
		var out bytes.Buffer
		h, _, err := NewHandler(c.cfg, &out)
		require.NoError(t, err)
		// A record without a time is written without one.
		r := slog.NewRecord(zeroTime, slog.LevelWarn, "low", 0)
		r.AddAttrs(slog.String("disk", "sda"))
		if h.Enabled(t.Context(), r.Level) {
			require.NoError(t, h.Handle(t.Context(), r))
		}
		require.Equal(t, c.want, out.String(), "%+v", c.cfg)
	}
	_, _, err := NewHandler(LogConfig{"loud", "json"}, &bytes.Buffer{})
	require.ErrorContains(t, err, "loud")
}

// brokenHandler fails every record.
type brokenHandler struct {
	slog.Handler
	err error
}

func (h brokenHandler) Handle(context.Context, slog.Record) error { return h.err }

func TestTee(t *testing.T) {
	var a, b bytes.Buffer
	plain := func(w *bytes.Buffer, l slog.Level) slog.Handler {
		return slog.NewTextHandler(w, &slog.HandlerOptions{Level: l, ReplaceAttr: func(_ []string, at slog.Attr) slog.Attr {
			if at.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return at
		}})
	}
	h := Tee(plain(&a, slog.LevelDebug), plain(&b, slog.LevelWarn))
	require.True(t, h.Enabled(t.Context(), slog.LevelDebug))
	require.False(t, h.Enabled(t.Context(), slog.LevelDebug-1))
	log := slog.New(h).With("role", "store").WithGroup("block")
	log.Debug("found", "id", 1)
	log.Warn("lost", "id", 2)
	require.Equal(t, "level=DEBUG msg=found role=store block.id=1\nlevel=WARN msg=lost role=store block.id=2\n", a.String())
	require.Equal(t, "level=WARN msg=lost role=store block.id=2\n", b.String())

	one, two := errors.New("disk full"), errors.New("pipe closed")
	broken := Tee(brokenHandler{plain(&a, slog.LevelInfo), one}, brokenHandler{plain(&b, slog.LevelInfo), two})
	err := broken.Handle(t.Context(), slog.NewRecord(zeroTime, slog.LevelInfo, "x", 0))
	require.ErrorIs(t, err, one)
	require.ErrorIs(t, err, two)
}
