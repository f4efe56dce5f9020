package main

import (
	"fmt"
	"strings"

	"github.com/hune-io/hune/internal/loggen"
)

// demand is what a figure should be.
type demand struct {
	what  string
	limit float64
	most  bool // limit is the most that is allowed, else the least
}

func atLeast(limit float64, what string) *demand { return &demand{what, limit, false} }
func atMost(limit float64, what string) *demand  { return &demand{what, limit, true} }

// The demands, see docs/benchmarks.md.
var (
	noWorseThanZstd   = atMost(1.01, "of zstd-1")
	smallerThanSnappy = atLeast(4, "x smaller than snappy")
	smallerThanZstd3  = atLeast(2, "x smaller than zstd-3")

	encodeMean   = atLeast(150, "MB/s mean encode")
	encodeWorst  = atLeast(60, "MB/s encode")
	encodeRandom = atLeast(150, "MB/s encode of random bytes")
	rebuildMean  = atLeast(400, "MB/s mean rebuild")

	ingestJSON     = atLeast(60, "MB/s from JSON")
	ingestProtobuf = atLeast(100, "MB/s from protobuf")
)

// mark says whether x is as demanded; nothing where nothing is.
func (d *demand) mark(x float64) string {
	if d == nil {
		return ""
	}
	if d.most && x <= d.limit || !d.most && x >= d.limit {
		return "PASS"
	}
	sign := "≥"
	if d.most {
		sign = "≤"
	}
	return fmt.Sprintf("short of %s %g %s", sign, d.limit, d.what)
}

// marks joins the marks of several demands: PASS where all pass.
func marks(all ...string) string {
	var out []string
	for _, m := range all {
		if m != "" && m != "PASS" {
			out = append(out, m)
		}
	}
	switch {
	case len(out) > 0:
		return strings.Join(out, ", ")
	case strings.Contains(strings.Join(all, ""), "PASS"):
		return "PASS"
	}
	return ""
}

// searchDemands are those on a query: its time, the share of the block that it reads, and how much
// quicker than a scan it is.
type searchDemands struct{ millis, share, gain *demand }

// per30MB is the amount of lines that the demands on times speak of.
const per30MB = 30

func demandsOn(k loggen.QueryKind, wordHeavy bool) searchDemands {
	absent := atMost(1, "% read")
	if wordHeavy {
		absent = atMost(10, "% read")
	}
	switch k {
	case loggen.StaticWord:
		return searchDemands{millis: atMost(1, "ms")}
	case loggen.AbsentWord:
		return searchDemands{millis: atMost(1, "ms"), share: absent}
	case loggen.CountWord:
		return searchDemands{share: atMost(15, "% read")}
	case loggen.LoneID:
		return searchDemands{millis: atMost(0.5, "ms"), share: atMost(3, "% read")}
	case loggen.NumericFilter:
		return searchDemands{gain: atLeast(40, "x the scan"), share: atMost(2, "% read")}
	case loggen.UnwrapSum:
		return searchDemands{gain: atLeast(40, "x the scan")}
	case loggen.Regexp:
		return searchDemands{gain: atLeast(3, "x the scan")}
	case loggen.CountAll:
		return searchDemands{millis: atMost(2, "ms")}
	}
	return searchDemands{}
}

// wordHeavy are the sets whose dictionaries of words are large: an absent word may read more of them.
var wordHeavy = map[string]bool{"mac": true, "android": true, "kubernetes": true, "nginx": true}
