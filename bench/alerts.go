package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/hune-io/hune/bench/internal/process"
)

const (
	manyAlerts = 20_000 // at scale 1
	alertsAsks = 21     // questions of each kind
)

// alertsSuite measures the lists of many alerts that the alertmanager holds, a tenth of them silenced.
func alertsSuite(b *bench) error {
	dir, err := os.MkdirTemp(b.dir, "hune-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := b.start(dir, append(slices.Clone(process.Quiet), "HUNE_RULES_DEFAULTS=false")...)
	if err != nil {
		return err
	}
	n := scaled(manyAlerts, b.scale)
	if err := errors.Join(s.postAlerts(n), s.silenceTenth()); err != nil {
		return errors.Join(err, s.Kill())
	}
	fmt.Printf("%d alerts, of which a tenth is silenced.\n\n| asked | alerts | KB | ms, median of %d | least | most | CPU ms |\n|---|---|---|---|---|---|---|\n", n, alertsAsks)
	for _, query := range []string{"", "?silenced=false", "?filter=job%3Djob-7"} {
		if err := s.askAlerts("/api/v2/alerts" + query); err != nil {
			return errors.Join(err, s.Kill())
		}
	}
	return s.Stop()
}

// postAlerts sends alerts that look like those of rules.
func (s *server) postAlerts(n int) error {
	type sent struct {
		Labels       map[string]string `json:"labels"`
		Annotations  map[string]string `json:"annotations"`
		EndsAt       time.Time         `json:"endsAt"`
		GeneratorURL string            `json:"generatorURL"`
	}
	ends := time.Now().Add(time.Hour)
	for first := 0; first < n; first += 1000 {
		var batch []sent
		for i := first; i < min(first+1000, n); i++ {
			host := "host-" + strconv.Itoa(i%1000) + ":9100"
			batch = append(batch, sent{
				Labels: map[string]string{"alertname": "Load" + strconv.Itoa(i/4), "instance": host, "job": "job-" + strconv.Itoa(i%20), "n": strconv.Itoa(i % 10),
					"shard": strconv.Itoa(i), "severity": "page"},
				Annotations: map[string]string{"summary": "load of " + host + " is 200"}, EndsAt: ends,
				GeneratorURL: "http://hune:4320/ui/explore/metrics?m=bench_load"})
		}
		if err := s.Post("/api/v2/alerts", "application/json", must(json.Marshal(batch))); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) silenceTenth() error {
	return s.Post("/api/v2/silences", "application/json", must(json.Marshal(map[string]any{
		"matchers": []map[string]any{{"name": "n", "value": "3", "isRegex": false}}, "startsAt": time.Now(), "endsAt": time.Now().Add(time.Hour),
		"createdBy": "bench", "comment": "a tenth"})))
}

func (s *server) askAlerts(path string) error {
	var (
		times  []time.Duration
		alerts []struct{}
		size   int
	)
	used, err := s.used(func() error {
		for range alertsAsks {
			began := time.Now()
			body, err := s.Get(path)
			times, size = append(times, time.Since(began)), len(body)
			if err == nil {
				err = json.Unmarshal(body, &alerts)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(times)
	fmt.Printf("| `%s` | %d | %d | %.0f | %.0f | %.0f | %.0f |\n", path, len(alerts), size/1000, ms(times[len(times)/2]), ms(times[0]), ms(times[len(times)-1]), ms(used/alertsAsks))
	return nil
}
