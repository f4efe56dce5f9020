// Package demo sends correlated telemetry of an invented shop to any OTLP endpoint: traces of a
// dozen services with errors and slow paths, logs that carry trace and span IDs in three formats,
// and metrics with exemplars and with classic and exponential histograms.
//
// The same seed and start time give the same telemetry, byte for byte: Generator is used by tests
// and benchmarks too. Every twenty minutes the recommendation service has a bad spell of three, so
// that there is something to find.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"golang.org/x/sync/errgroup"
)

// Options say where to send what.
type Options struct {
	// Endpoint is host:port for OTLP over gRPC, or a URL (http://host:port) for OTLP over HTTP, to
	// which /v1/traces and so on are added.
	Endpoint string
	Rate     float64           // traces a second; default 10. A trace has about 14 spans
	Duration time.Duration     // default 0: until ctx is done
	Seed     uint64            // equal seeds make equal telemetry
	Headers  map[string]string // sent with every request
	Tenant   string            // sent as X-Scope-OrgID unless empty
	Insecure bool              // gRPC without TLS, HTTPS without checking the certificate
	Out      io.Writer         // progress; nil for none
	Start    time.Time         // of the telemetry; default now. An earlier one is caught up at full speed

	// Clock is for tests; nil is the real one.
	Clock Clock
}

// Clock tells and waits for time.
type Clock interface {
	Now() time.Time
	// Sleep returns early with the cause when ctx is done.
	Sleep(ctx context.Context, d time.Duration) error
}

type realClock struct{}

func (realClock) Now() time.Time { return time.Now() }

func (realClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

const (
	// tracesPerStep bounds a request at high rates.
	tracesPerStep = 200
	maxRate       = 100_000
	progressEvery = time.Second
)

// Validate reports what is wrong with o.
func (o *Options) Validate() error {
	var errs []error
	if o.Endpoint == "" {
		errs = append(errs, errors.New("endpoint is missing: host:port for gRPC or http://host:port"))
	}
	if o.Rate < 0 || o.Rate > maxRate || o.Rate != o.Rate {
		errs = append(errs, fmt.Errorf("rate %v is not between 0 and %d traces a second", o.Rate, maxRate))
	}
	if o.Duration < 0 {
		errs = append(errs, fmt.Errorf("duration %s is negative", o.Duration))
	}
	return errors.Join(errs...)
}

// Run sends until the duration is over or ctx is done, which is not an error. It returns the first
// error that retrying didn't help.
func Run(ctx context.Context, o Options) (err error) {
	if err := o.Validate(); err != nil {
		return err
	}
	if o.Clock == nil {
		o.Clock = realClock{}
	}
	if o.Rate == 0 {
		o.Rate = 10
	}
	if o.Start.IsZero() {
		o.Start = o.Clock.Now()
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	s, err := newSender(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	step := time.Second
	if o.Rate > tracesPerStep {
		step = time.Duration(float64(time.Second) * tracesPerStep / o.Rate)
	}
	r := run{o: o, sender: s, gen: NewGenerator(GeneratorOptions{Seed: o.Seed, Start: o.Start, Step: step, Rate: o.Rate})}
	err = r.loop(ctx)
	r.progress(true)
	if ctx.Err() != nil {
		return nil // asked to stop
	}
	return err
}

type run struct {
	o      Options
	sender *sender
	gen    *Generator
	shown  time.Time

	traces, spans, logs, points int
}

func (r *run) loop(ctx context.Context) error {
	for {
		if r.o.Duration > 0 && r.gen.Now().Sub(r.o.Start) >= r.o.Duration {
			return nil
		}
		td, ld, md := r.gen.Next()
		// A step is sent when it is over: nothing comes from the future.
		if wait := r.gen.Now().Sub(r.o.Clock.Now()); wait > 0 {
			if err := r.o.Clock.Sleep(ctx, wait); err != nil {
				return err
			}
		}
		if err := r.send(ctx, td, ld, md); err != nil {
			return err
		}
		r.traces = r.gen.made
		r.spans += td.SpanCount()
		r.logs += ld.LogRecordCount()
		r.points += md.DataPointCount()
		r.progress(false)
	}
}

func (r *run) send(ctx context.Context, td ptrace.Traces, ld plog.Logs, md pmetric.Metrics) error {
	g, ctx := errgroup.WithContext(ctx)
	if td.SpanCount() > 0 {
		g.Go(func() error { return r.sender.traces(ctx, td) })
	}
	if ld.LogRecordCount() > 0 {
		g.Go(func() error { return r.sender.logs(ctx, ld) })
	}
	if md.DataPointCount() > 0 {
		g.Go(func() error { return r.sender.metrics(ctx, md) })
	}
	return g.Wait()
}

// progress writes a line over the last one.
func (r *run) progress(last bool) {
	now := r.o.Clock.Now()
	if !last && now.Sub(r.shown) < progressEvery {
		return
	}
	r.shown = now
	line := fmt.Sprintf("\r%7s  %d traces  %d spans  %d log lines  %d points", r.gen.Now().Sub(r.o.Start).Round(time.Second), r.traces, r.spans, r.logs, r.points)
	if n := r.sender.retries.Load(); n > 0 {
		line += fmt.Sprintf("  %d retries", n)
	}
	if n := r.sender.rejected.Load(); n > 0 {
		line += fmt.Sprintf("  %d rejected (%s)", n, *r.sender.reason.Load())
	}
	if last {
		line += "\n"
	}
	_, _ = fmt.Fprint(r.o.Out, line) // a closed terminal doesn't stop the demo
}
