package loggen

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"time"
)

// field appends one value, or a whole line, to dst.
type field func(dst []byte) []byte

// world is what the fields of a stream share.
type world struct {
	*rand.Rand
	clock  clock
	now    time.Time // as the line being made says it: a little before its timestamp
	before []func()  // called before each line
	fields map[string]field
}

func newWorld(seed uint64) *world {
	return &world{Rand: rng(seed, 0x6c696e6573), clock: newClock(seed), fields: map[string]field{}}
}

// tick goes on to the next line and returns its timestamp.
func (w *world) tick() int64 {
	t := w.clock.next()
	// Lines are written, then collected: their own times jitter against the order of collection.
	w.now = time.Unix(0, t-int64(w.ExpFloat64()*300e3)).UTC()
	for _, f := range w.before {
		f()
	}
	return t
}

// shape is a template and how often it is used in comparison with its neighbours. A field stands in it
// as <name>.
type shape struct {
	weight   int
	template string
}

var placeholder = regexp.MustCompile(`<[a-zA-Z][a-zA-Z0-9]*>`)

// compile makes a field of a template. Names must be known.
func (w *world) compile(template string) field {
	var parts []field
	static := func(s string) {
		if s != "" {
			parts = append(parts, func(dst []byte) []byte { return append(dst, s...) })
		}
	}
	at := 0
	for _, m := range placeholder.FindAllStringIndex(template, -1) {
		static(template[at:m[0]])
		name := template[m[0]+1 : m[1]-1]
		f, ok := w.fields[name]
		if !ok {
			panic(fmt.Sprintf("loggen: template %q has an unknown field %s", template, name))
		}
		parts = append(parts, f)
		at = m[1]
	}
	static(template[at:])
	return func(dst []byte) []byte {
		for _, f := range parts {
			dst = f(dst)
		}
		return dst
	}
}

// choose makes a field that is one of the shapes each time.
func (w *world) choose(shapes []shape) field { return w.bursts(1, shapes) }

// bursts is choose, but a shape stays for run values on the average, as where a program is busy with one
// thing for some time.
func (w *world) bursts(run int, shapes []shape) field {
	total := 0
	ends := make([]int, len(shapes))
	parts := make([]field, len(shapes))
	for i, s := range shapes {
		total += s.weight
		ends[i], parts[i] = total, w.compile(s.template)
	}
	cur := 0
	return func(dst []byte) []byte {
		if run == 1 || w.IntN(run) == 0 {
			x := w.IntN(total)
			cur, _ = slices.BinarySearch(ends, x+1)
		}
		return parts[cur](dst)
	}
}

// maybe makes a field that is the template in one of n cases, else nothing.
func (w *world) maybe(n int, template string) field {
	f := w.compile(template)
	return func(dst []byte) []byte {
		if w.IntN(n) > 0 {
			return dst
		}
		return f(dst)
	}
}

// time makes a field of the time of the line, in a layout of package time.
func (w *world) time(layout string) field {
	return func(dst []byte) []byte { return w.now.AppendFormat(dst, layout) }
}
