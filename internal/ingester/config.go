package ingester

import (
	"errors"
	"fmt"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
)

// Config is the user's settings of the ingester.
type Config struct {
	// Logs bounds the in-memory head of logs.
	Logs HeadConfig `yaml:"logs"`
	// Traces bounds the in-memory head of traces.
	Traces HeadConfig `yaml:"traces"`
	// CheckInterval is how often heads are looked at for being full or old. Default 5s.
	CheckInterval model.Duration `yaml:"check_interval"`
	// UploadTimeout bounds one round of block uploads. Default 5m.
	UploadTimeout model.Duration `yaml:"upload_timeout"`
	// MaxPendingBytes is how much of blocks may wait on the local disk for their upload. More makes
	// writes answer 503 until the bucket takes them. Default 10GiB.
	MaxPendingBytes units.Base2Bytes `yaml:"max_pending_bytes"`
	// TailBuffer is how many batches of a live tail may wait for a slow reader before entries are
	// dropped (and reported as dropped). Default 64.
	TailBuffer int `yaml:"tail_buffer"`
	// MaxTails is how many live tails a tenant may have at once. Default 1000.
	MaxTails int `yaml:"max_tails"`
}

// HeadConfig says when a tenant's head becomes a block.
type HeadConfig struct {
	// MaxHeadBytes is the memory at which a tenant's head is cut. Default 64MiB.
	MaxHeadBytes units.Base2Bytes `yaml:"max_head_bytes"`
	// MaxHeadAge is how long after its first row a head is cut whatever its size. It bounds how much a
	// restart replays. Default 15m.
	MaxHeadAge model.Duration `yaml:"max_head_age"`
	// KeepAfterUpload is how long an uploaded block is still answered from here, so that stores
	// find it in the bucket meanwhile. At least twice the store's poll interval. Default 3m.
	KeepAfterUpload model.Duration `yaml:"keep_after_upload"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	head := HeadConfig{MaxHeadBytes: 64 * units.MiB, MaxHeadAge: model.Duration(15 * time.Minute),
		KeepAfterUpload: model.Duration(3 * time.Minute)}
	return Config{Logs: head, Traces: head, CheckInterval: model.Duration(5 * time.Second),
		UploadTimeout: model.Duration(5 * time.Minute), MaxPendingBytes: 10 * units.GiB, TailBuffer: 64, MaxTails: 1000}
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	errs := []error{c.Logs.validate("logs"), c.Traces.validate("traces")}
	if c.CheckInterval <= 0 || c.UploadTimeout <= 0 {
		errs = append(errs, errors.New("check_interval and upload_timeout must be positive"))
	}
	if c.MaxPendingBytes <= 0 {
		errs = append(errs, errors.New("max_pending_bytes must be positive"))
	}
	if c.TailBuffer <= 0 || c.MaxTails < 0 {
		errs = append(errs, errors.New("tail_buffer must be positive and max_tails not negative"))
	}
	return errors.Join(errs...)
}

func (c HeadConfig) validate(name string) error {
	if c.MaxHeadBytes < units.MiB {
		return fmt.Errorf("%s.max_head_bytes: %s is less than 1MiB", name, c.MaxHeadBytes)
	}
	if c.MaxHeadAge <= 0 || c.KeepAfterUpload < 0 {
		return fmt.Errorf("%s: max_head_age must be positive and keep_after_upload not negative", name)
	}
	return nil
}
