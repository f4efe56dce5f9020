package telemetry

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
)

// Version is the release, set by the linker (-X …/telemetry.Version=v1.2.3).
var Version = ""

// BuildInfo says which code this is.
type BuildInfo struct {
	Version, Revision, Time, GoVersion string
}

// String is one line for people.
func (b BuildInfo) String() string {
	return fmt.Sprintf("hune %s (revision %s, %s, %s/%s)", b.Version, b.Revision, b.GoVersion, runtime.GOOS, runtime.GOARCH)
}

// Build returns which code this is, from the linker's and the toolchain's records.
var Build = sync.OnceValue(func() BuildInfo {
	b := BuildInfo{Version: Version, Revision: "unknown", GoVersion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		}
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	if b.Version == "" || b.Version == "(devel)" {
		b.Version = "v0.1.0-dev"
	}
	return b
})
