package column

import (
	"regexp/syntax"
	"slices"
	"unicode"
	"unicode/utf8"
)

// program is an expression in the form that a dfa runs. It is immutable.
type program struct {
	inst  []syntax.Inst
	start uint32
	// anchored: a match begins at the start of the value and nowhere else.
	anchored bool

	// Bytes that no state tells apart are of one class.
	classes    int
	classOf    [256]uint8
	classBytes []byte    // one byte of each class
	classChars []Charset // of all bytes of the class

	// bounds are the runes beyond ASCII at which what an instruction matches begins or ends, ascending.
	bounds []rune
}

func newProgram(re *syntax.Regexp) (*program, error) {
	compiled, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil, err
	}
	p := &program{
		inst:     compiled.Inst,
		start:    uint32(compiled.Start),
		anchored: compiled.StartCond()&syntax.EmptyBeginText != 0,
	}
	p.classify()
	return p, nil
}

// utf8Cuts are the bytes at which the rules of UTF-8 change: what may begin a rune, and what may follow.
var utf8Cuts = [...]byte{0x80, 0x90, 0xa0, 0xc0, 0xc2, 0xe0, 0xe1, 0xed, 0xee, 0xf0, 0xf1, 0xf4, 0xf5}

// classify finds the classes of bytes and the bounds.
func (p *program) classify() {
	var cuts [256]bool
	cut := func(r rune) {
		switch {
		case r <= utf8.RuneSelf:
			cuts[r] = true
		case r <= unicode.MaxRune:
			p.bounds = append(p.bounds, r)
		}
	}
	for i := range p.inst {
		p.inst2cuts(&p.inst[i], cut)
	}
	slices.Sort(p.bounds)
	p.bounds = slices.Compact(p.bounds)
	for _, c := range utf8Cuts {
		cuts[c] = true
	}
	if len(p.bounds) > 0 {
		for c := utf8.RuneSelf; c < 256; c++ {
			cuts[c] = true
		}
	}
	p.numberClasses(&cuts)
}

// inst2cuts calls cut with the runes at which the instruction begins or ceases to match.
func (p *program) inst2cuts(in *syntax.Inst, cut func(rune)) {
	switch in.Op {
	case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		if len(in.Rune) == 1 {
			cut(in.Rune[0])
			cut(in.Rune[0] + 1)
			if syntax.Flags(in.Arg)&syntax.FoldCase == 0 {
				return
			}
			for r := unicode.SimpleFold(in.Rune[0]); r != in.Rune[0]; r = unicode.SimpleFold(r) {
				cut(r)
				cut(r + 1)
			}
			return
		}
		for i := 0; i+1 < len(in.Rune); i += 2 {
			cut(in.Rune[i])
			cut(in.Rune[i+1] + 1)
		}
		if in.Op == syntax.InstRuneAnyNotNL {
			cut('\n')
			cut('\n' + 1)
		}
	case syntax.InstEmptyWidth:
		if syntax.EmptyOp(in.Arg)&(syntax.EmptyBeginLine|syntax.EmptyEndLine) != 0 {
			cut('\n')
			cut('\n' + 1)
		}
		if syntax.EmptyOp(in.Arg)&(syntax.EmptyWordBoundary|syntax.EmptyNoWordBoundary) != 0 {
			for _, r := range "0AZ_az" {
				cut(r)
				cut(r + 1)
			}
			cut('9' + 1)
		}
	}
}

func (p *program) numberClasses(cuts *[256]bool) {
	for c := range 256 {
		if c == 0 || cuts[c] {
			p.classBytes = append(p.classBytes, byte(c))
			p.classChars = append(p.classChars, 0)
		}
		k := len(p.classBytes) - 1
		p.classOf[c] = uint8(k)
		p.classChars[k] |= charsets[c]
	}
	p.classes = len(p.classBytes)
}

// uniform reports whether every instruction treats the runes from lo to hi, all beyond ASCII, alike.
func (p *program) uniform(lo, hi rune) bool {
	i, at := slices.BinarySearch(p.bounds, lo)
	if at {
		i++
	}
	return i == len(p.bounds) || p.bounds[i] > hi
}

// partial is the beginning of a rune whose bytes have not all been seen. The zero partial is none.
type partial struct {
	seen, left uint8 // bytes
	lo, hi     byte  // what the next byte is if the rune is valid
	// min and max are the first and the last rune that it can become. Where all of them are alike they
	// are made the same for all beginnings of that kind, which keeps the number of states small.
	min, max rune
}

// beginRune returns the partial after the byte c, or none if no rune begins with it.
func (p *program) beginRune(c byte) partial {
	t := partial{seen: 1, lo: 0x80, hi: 0xbf}
	switch {
	case c < 0xc2 || c > 0xf4:
		return partial{}
	case c < 0xe0:
		t.left, t.min = 1, rune(c&0x1f)<<6
	case c < 0xf0:
		t.left, t.min = 2, rune(c&0x0f)<<12
	default:
		t.left, t.min = 3, rune(c&0x07)<<18
	}
	t.max = t.min | (1<<(6*t.left) - 1)
	switch c {
	case 0xe0:
		t.lo, t.min = 0xa0, 0x800
	case 0xed:
		t.hi, t.max = 0x9f, 0xd7ff
	case 0xf0:
		t.lo, t.min = 0x90, 0x10000
	case 0xf4:
		t.hi, t.max = 0x8f, 0x10ffff
	}
	return p.settle(t)
}

// continueRune returns the partial after t and c, which is valid there.
func (p *program) continueRune(t partial, c byte) partial {
	t.seen++
	t.left--
	t.lo, t.hi = 0x80, 0xbf
	if t.min == t.max {
		return t // settled: any of the runes stands for all
	}
	low := 6 * t.left
	t.min = t.max>>(low+6)<<(low+6) | rune(c&0x3f)<<low
	t.max = t.min | (1<<low - 1)
	return p.settle(t)
}

// settle makes one rune stand for all that t can become, if they are alike: the first that is like them.
func (p *program) settle(t partial) partial {
	if !p.uniform(t.min, t.max) {
		return t
	}
	i, at := slices.BinarySearch(p.bounds, t.min)
	switch {
	case at:
		t.min = p.bounds[i]
	case i > 0:
		t.min = p.bounds[i-1]
	default:
		t.min = utf8.RuneSelf
	}
	t.max = t.min
	return t
}
