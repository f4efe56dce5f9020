package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

	"github.com/hune-io/hune/bench/internal/process"
)

const (
	ruleGroups     = 100
	rulesOfGroup   = 100
	seriesOfRule   = 10 // at scale 1
	ruleStep       = 15 * time.Second
	ruleInterval   = 15 * time.Second // what one evaluation costs doesn't depend on it
	measuredRounds = 2                // evaluations of each group that count
	roundsBefore   = 3                // that don't
)

// ruleSets are two sets of 10,000 alerting rules over the same series: of one nothing fires, of the other
// 20,000 alerts, which Hune sends where Prometheus does, or keeps in its own Alertmanager.
var ruleSets = []struct {
	name      string
	threshold int
	elsewhere bool
}{
	{"none fires", 1000, true},
	{"20,000 fire, sent to an Alertmanager elsewhere", 100, true},
	{"20,000 fire, in Hune's own Alertmanager", 100, false},
}

// ruleFile is a rule file. Of ten rules seven compare what a selector finds, one its average, one its rate
// and one a sum.
func ruleFile(threshold int) string {
	var b strings.Builder
	b.WriteString("groups:\n")
	for g := range ruleGroups {
		fmt.Fprintf(&b, "- name: g%d\n  rules:\n", g)
		for r := range rulesOfGroup {
			i := g*rulesOfGroup + r
			expr := fmt.Sprintf(`bench_load{shard="%d"} > %d`, i, threshold)
			switch i % 10 {
			case 7:
				expr = fmt.Sprintf(`avg_over_time(bench_load{shard="%d"}[5m]) > %d`, i, threshold)
			case 8:
				expr = fmt.Sprintf(`rate(bench_load{shard="%d"}[5m]) > 1000`, i)
			case 9:
				expr = fmt.Sprintf(`sum by (job) (bench_load{shard="%d"}) > 1e6`, i)
			}
			fmt.Fprintf(&b, "  - {alert: Load%d, expr: '%s', labels: {severity: page}, annotations: {summary: 'load of {{ $labels.instance }} is {{ $value }}'}}\n", i, expr)
		}
	}
	return b.String()
}

// ruleSeries is one of the series, with its value: of five rules' fifty, half of those of the selectors'
// first five are above 100, so that 20,000 of 80,000 fire.
func ruleSeries(i int) (labels.Labels, float64) {
	shard, n := i/seriesOfRule, i%seriesOfRule
	v := float64(n * 10)
	if n < 2 || n == 2 && shard%2 == 0 {
		v = 200
	}
	return labels.FromStrings("__name__", "bench_load", "instance", "host-"+strconv.Itoa(i%1000)+":9100", "job", "job-"+strconv.Itoa(i%20),
		"n", strconv.Itoa(n), "shard", strconv.Itoa(shard)), v
}

// rulesSuite compares the processor time of evaluating rules in Hune, the real binary, with that of
// Prometheus's rule manager over its own database in this process, with its notifier. Both send their alerts to a sink in
// this process, whose reading counts with Prometheus.
func rulesSuite(b *bench) error {
	dir, err := os.MkdirTemp(b.dir, "hune-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	sink := newAlertSink()
	defer sink.Close()
	p, err := openPrometheus(filepath.Join(dir, "prometheus"), sink)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	series := scaled(ruleGroups*rulesOfGroup*seriesOfRule, b.scale)
	fmt.Printf("%d rules, %d series. CPU ms of one evaluation of all rules, the server's idle time taken off.\n\n", ruleGroups*rulesOfGroup, series)
	fmt.Printf("| rules | Hune | idle in the same time | Prometheus | Hune / Prometheus |\n|---|---|---|---|---|\n")
	from := time.Now().Add(-5 * time.Minute)
	var env []string
	for i, set := range ruleSets {
		if set.elsewhere {
			env = []string{"HUNE_ALERTING_ALERTMANAGERS=[{static_configs: [{targets: ['" + sink.addr() + "']}]}]"}
		} else {
			env = nil
		}
		ours, idle, err := b.evaluate(filepath.Join(dir, strconv.Itoa(i)), series, ruleFile(set.threshold), env)
		if err != nil {
			return err
		}
		now := time.Now()
		if err := p.sendRuleSeries(series, from, now); err != nil {
			return err
		}
		from = now
		theirs, err := p.evaluate(filepath.Join(dir, "theirs.yml"), ruleFile(set.threshold), now)
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %.0f | %.0f | %.0f | %.2f |\n", set.name, ms(ours), ms(idle), ms(theirs), float64(ours)/float64(theirs))
	}
	return nil
}

// evaluate starts a server on a folder, sends it the series, and returns the processor time of one evaluation of all rules,
// and that of the server without rules within an interval, which is taken off.
func (b *bench) evaluate(dir string, series int, text string, env []string) (used, idle time.Duration, err error) {
	file := filepath.Join(dir, "rules.yml")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(file, []byte("groups: []\n"), 0o600)); err != nil {
		return 0, 0, err
	}
	s, err := b.start(dir, append(append(slices.Clone(process.Quiet), "HUNE_RULES_DEFAULTS=false", "HUNE_RULES_FILES=["+file+"]", "HUNE_RULES_POLL_INTERVAL=1s",
		"HUNE_RULES_EVALUATION_INTERVAL="+ruleInterval.String(), "HUNE_RULES_RESEND_DELAY="+ruleInterval.String()), env...)...)
	if err != nil {
		return 0, 0, err
	}
	now := time.Now()
	if err := s.sendRuleSeries(series, now.Add(-5*time.Minute), now); err != nil {
		return 0, 0, errors.Join(err, s.Kill())
	}
	if used, idle, err = s.evaluate(file, text); err != nil {
		return 0, 0, errors.Join(err, s.Kill())
	}
	return used, idle, s.Stop()
}

// sendRuleSeries writes the series over a time.
func (s *server) sendRuleSeries(series int, from, to time.Time) error {
	l := &load{path: "/api/v1/write", contentType: protobufType, header: []string{"Content-Encoding", "snappy"}}
	for first := 0; first < series; first += 1000 {
		req := &prompb.WriteRequest{}
		for i := first; i < min(first+1000, series); i++ {
			ls, v := ruleSeries(i)
			ts := prompb.TimeSeries{}
			ls.Range(func(l labels.Label) { ts.Labels = append(ts.Labels, prompb.Label{Name: l.Name, Value: l.Value}) })
			for t := from; t.Before(to); t = t.Add(ruleStep) {
				ts.Samples = append(ts.Samples, prompb.Sample{Timestamp: t.UnixMilli(), Value: v})
			}
			req.Timeseries = append(req.Timeseries, ts)
		}
		l.requests = append(l.requests, snappy.Encode(nil, must(req.Marshal())))
	}
	return l.send(s)
}

// evaluate puts rules into force and measures their evaluation.
func (s *server) evaluate(file, text string) (used, idle time.Duration, err error) {
	idle, err = s.used(func() error { time.Sleep(ruleInterval); return nil })
	if err != nil {
		return 0, 0, err
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return 0, 0, err
	}
	// The first two evaluations of a group record nothing, since the state of its alerts is restored after them, and the next
	// makes their series.
	if err := s.awaitRules(func(rounds float64) bool { return rounds >= roundsBefore }); err != nil {
		return 0, 0, err
	}
	// Nothing is asked meanwhile: an answer of /metrics costs more than a hundred rules.
	before, err := s.ruleRounds()
	if err != nil {
		return 0, 0, err
	}
	busy, err := s.used(func() error { time.Sleep(measuredRounds * ruleInterval); return nil })
	if err != nil {
		return 0, 0, err
	}
	after, err := s.ruleRounds()
	if err != nil {
		return 0, 0, err
	}
	if after-before < measuredRounds*0.9 {
		return 0, 0, fmt.Errorf("%.1f evaluations of all rules in the time of %d: the machine is too slow", after-before, measuredRounds)
	}
	return time.Duration(float64(busy-measuredRounds*idle) / (after - before)), idle, nil
}

func (s *server) used(f func() error) (time.Duration, error) {
	before, err := s.CPU()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := s.CPU()
	return after - before, err
}

// awaitRules waits for a number of evaluations of all groups.
func (s *server) awaitRules(enough func(rounds float64) bool) error {
	for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(200 * time.Millisecond) {
		rounds, err := s.ruleRounds()
		if err != nil || enough(rounds) {
			return err
		}
	}
	return errors.New("the rules were not evaluated in ten minutes")
}

// ruleRounds is how often all groups were evaluated, of which each evaluation of a group is a hundredth.
func (s *server) ruleRounds() (float64, error) {
	body, err := s.Get("/metrics")
	if err != nil {
		return 0, err
	}
	var sum float64
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, "prometheus_rule_group_iterations_total{") {
			v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			if err != nil {
				return 0, err
			}
			sum += v
		}
	}
	return sum / ruleGroups, nil
}
