package wal

import (
	"errors"
	"fmt"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
)

// Sync says when an Append returns.
type Sync string

// The two promises. Always survives a power cut; Interval survives the death of the process at
// once, and a power cut but for the last interval.
const (
	SyncAlways   Sync = "always"
	SyncInterval Sync = "interval"
)

// Config are the user's settings, the section `wal` of the configuration.
type Config struct {
	// When a write is acknowledged: "always" after its record is synced to disk (one sync serves all
	// writers that wait), "interval" after it is handed to the operating system. Default always.
	Sync Sync `yaml:"sync"`
	// How often the log is synced with `sync: interval`: what a power cut may lose. Default 1s, must
	// be above zero.
	SyncInterval model.Duration `yaml:"sync_interval"`
	// Size at which a log file is closed and the next one begun. Default 64MiB, at least 1MiB.
	SegmentSize units.Base2Bytes `yaml:"segment_size"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{Sync: SyncAlways, SyncInterval: model.Duration(time.Second), SegmentSize: 64 * units.MiB}
}

const (
	minSegmentSize = 1 << 20
	maxSegmentSize = 4 << 30
)

// Validate reports every fault of c.
func (c Config) Validate() error {
	var errs []error
	if c.Sync != SyncAlways && c.Sync != SyncInterval {
		errs = append(errs, fmt.Errorf("sync: %q is neither %q nor %q", c.Sync, SyncAlways, SyncInterval))
	}
	if c.SyncInterval <= 0 {
		errs = append(errs, fmt.Errorf("sync_interval: %s is not above zero", c.SyncInterval))
	}
	if c.SegmentSize < minSegmentSize || c.SegmentSize > maxSegmentSize {
		errs = append(errs, fmt.Errorf("segment_size: %s is not between 1MiB and 4GiB", c.SegmentSize))
	}
	return errors.Join(errs...)
}

// Options returns c as Options for Open.
func (c Config) Options() Options {
	return Options{Sync: c.Sync, Interval: time.Duration(c.SyncInterval), SegmentSize: int64(c.SegmentSize)}
}
