// Package signal names the three kinds of telemetry. The names are path elements in the bucket
// (TENANT/SIGNAL/ULID), on disk and in metric labels, so they never change.
package signal

// Signal is one of Metrics, Logs and Traces.
type Signal string

// The signals.
const (
	Metrics Signal = "metrics"
	Logs    Signal = "logs"
	Traces  Signal = "traces"
)

// All lists the signals in the order in which they are shown.
var All = []Signal{Metrics, Logs, Traces}
