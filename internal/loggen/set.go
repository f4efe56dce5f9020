package loggen

import (
	"math/rand/v2"

	"github.com/hune-io/hune/internal/block"
)

// Set is one kind of data.
type Set struct {
	Name        string
	Adversarial bool    // made to be hard: no real system writes so
	Queries     []Query // what a user may ask of it

	// lines builds what appends one line after another.
	lines func(w *world) field
}

// Sets returns all sets: those that imitate systems, then the adversarial ones.
func Sets() []Set {
	return []Set{
		{Name: "hdfs", Queries: hdfsQueries, lines: hdfs},
		{Name: "openssh", Queries: opensshQueries, lines: openssh},
		{Name: "nginx", Queries: nginxQueries, lines: nginx},
		{Name: "kubernetes", Queries: kubernetesQueries, lines: kubernetes},
		{Name: "spark", Queries: sparkQueries, lines: spark},
		{Name: "json", Queries: jsonQueries, lines: jsonLines},
		{Name: "logfmt", Queries: logfmtQueries, lines: logfmtLines},
		{Name: "mac", Queries: macQueries, lines: mac},
		{Name: "android", Queries: androidQueries, lines: android},
		{Name: "bgl", Queries: bglQueries, lines: bgl},
		{Name: "base64", Adversarial: true, Queries: noiseQueries, lines: base64Lines},
		{Name: "random", Adversarial: true, Queries: noiseQueries, lines: randomLines},
		{Name: "salad", Adversarial: true, Queries: saladQueries, lines: saladLines},
		{Name: "oneoff", Adversarial: true, Queries: wordQueries, lines: oneOffLines},
		{Name: "long", Adversarial: true, Queries: longQueries, lines: longLines},
	}
}

// Find returns the set of that name, or false.
func Find(name string) (Set, bool) {
	for _, s := range Sets() {
		if s.Name == name {
			return s, true
		}
	}
	return Set{}, false
}

// Stream is the lines of a set, one after another, without end. Not safe for concurrent use.
type Stream struct {
	world *world
	lines field
}

// Stream returns the lines that belong to seed, from the first on.
func (s Set) Stream(seed uint64) *Stream {
	w := newWorld(seed)
	return &Stream{world: w, lines: s.lines(w)}
}

// Append appends the next line to dst, without a newline: it holds none. The timestamp, in nanoseconds
// since 1970, is later than that of the line before; the n-th is that of Timestamps.
func (s *Stream) Append(dst []byte) (out []byte, timestamp int64) {
	timestamp = s.world.tick()
	return s.lines(dst), timestamp
}

// Lines returns the first lines of Stream(seed), as many as it takes for their sum to reach bytes. It
// must be below 4 GiB by the length of a line.
func (s Set) Lines(seed uint64, bytes int) *block.Values {
	v := &block.Values{Data: make([]byte, 0, bytes+bytes/64)}
	stream := s.Stream(seed)
	for len(v.Data) < bytes {
		v.Data, _ = stream.Append(v.Data)
		v.Ends = append(v.Ends, uint32(len(v.Data)))
	}
	return v
}

// rng returns a generator of its own for each purpose of a seed.
func rng(seed, purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, purpose)) }
