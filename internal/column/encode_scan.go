package column

// noShape marks a row that no template takes.
const noShape = ^uint32(0)

// scan finds the shape of each row. It reports false as soon as there are too many.
func (b *textBuilder) scan() bool {
	if b.grain == lineGrain {
		b.e.known.begin()
	}
	for i, row := range b.rows {
		b.rowShape[i] = noShape
		if row.n <= maxTextLen {
			b.rowVars[i] = uint32(len(b.tok.vars))
			b.rowShape[i] = b.shapeOf(row)
		}
		if (i == 511 || i == 2047) && (b.tooMany(i) || b.opaque(i)) {
			return false
		}
	}
	return len(b.shapes) > 0 && (len(b.rows) > 511 || !b.opaque(len(b.rows)))
}

// shapeOf returns the shape of a row, whose slots it appends to the tokenizer's, or noShape.
func (b *textBuilder) shapeOf(row extent) uint32 {
	t, known := &b.tok, &b.e.known
	n := len(t.vars)
	var form *knownEnd
	if b.grain == lineGrain {
		form = known.find(t, row)
	}
	if form != nil {
		if form.round == known.round {
			b.shapes[form.shape].rows++ // Fast path: most rows.
			return form.shape
		}
		t.key = append(t.key[:0], form.key...)
	} else {
		t.tokenize(row, b.grain)
	}
	shape := b.intern(len(t.vars) - n)
	switch {
	case shape == noShape:
		t.vars = t.vars[:n]
	case form != nil:
		form.shape, form.round = shape, known.round
	case b.grain == lineGrain && b.shapes[shape].rows == 2:
		known.learn(t.data, row, t.vars[n:], b.shapes[shape].key)
	}
	return shape
}

// opaque reports whether nearly all of the first n rows are long words of mixed letters and digits, as
// base64 makes them: splitting these gains nothing. The fields of JSON and logfmt are worth it anyway.
func (b *textBuilder) opaque(n int) bool {
	const long = 16
	total, opaque := 0, 0
	for i := 0; i < n; i += 1 + n/opaqueSample {
		row := b.rows[i]
		total += int(row.n)
		if b.rowShape[i] == noShape {
			continue
		}
		s := &b.shapes[b.rowShape[i]]
		if modeOf(s.key) != Generic {
			continue
		}
		for _, v := range b.tok.vars[b.rowVars[i]:][:s.vars] {
			if v.n >= long && CharsetOf(b.e.bytes(v)).isMixed() {
				opaque += int(v.n)
			}
		}
	}
	return opaque*5 > total*4
}

// opaqueSample is how many rows opaque looks at, about.
const opaqueSample = 128

// isMixed reports whether s has digits and letters of both cases, not only those of hexadecimal numbers.
func (s Charset) isMixed() bool {
	const lower, upper, beyondHex = HexLower | AlphaLower, HexUpper | AlphaUpper, AlphaLower | AlphaUpper
	return s&Digits != 0 && s&lower != 0 && s&upper != 0 && s&beyondHex != 0
}

// shapeIndexLen leaves half of the index empty.
const shapeIndexLen = 2 * maxTemplates

// find returns where in the index the shape of key is, or would be.
func (b *textBuilder) find(hash uint32, key []byte) int {
	at := int(hash % shapeIndexLen)
	for b.index[at] != 0 {
		if s := &b.shapes[b.index[at]-1]; s.hash == hash && s.key == string(key) {
			break
		}
		at = (at + 1) % shapeIndexLen
	}
	return at
}

// intern returns the number of the shape of the tokenizer's key, which has vars slots, or noShape where
// a limit is reached.
func (b *textBuilder) intern(vars int) uint32 {
	key := b.tok.key
	hash := uint32(hashBytes(key))
	at := b.find(hash, key)
	if n := b.index[at]; n != 0 {
		b.shapes[n-1].rows++
		return n - 1
	}
	static := len(key) - vars
	if len(b.shapes) >= maxTemplates || vars > maxSlots || static > maxStaticLen || b.static+static > maxStaticTotal {
		return noShape
	}
	b.static += static
	b.shapes = append(b.shapes, shape{key: string(key), hash: hash, rows: 1, vars: vars})
	b.index[at] = uint32(len(b.shapes))
	b.indexed = append(b.indexed, uint16(at))
	return uint32(len(b.shapes) - 1)
}

// tooMany says after i rows whether there are so many shapes that no templates will come of them.
func (b *textBuilder) tooMany(i int) bool {
	if len(b.shapes) <= i/4 {
		return false
	}
	skeletons := map[string]struct{}{}
	var buf []byte
	for k := range b.shapes {
		buf, b.words = b.shapes[k].skeleton(buf[:0], b.words[:0])
		skeletons[string(buf)] = struct{}{}
	}
	switch n := len(skeletons); b.grain {
	case lineGrain:
		return n > i*8/10
	case valueGrain:
		return n > i/2
	default:
		return n > i/3
	}
}
