package block

// IntTest says which values of an integer column are looked for.
type IntTest struct {
	// Min and Max are what the values are known to lie between. Another value is a fault.
	Min, Max int64
	// Keep, where set, has Max-Min+1 entries and selects value v where Keep[v-Min]; else the values from From
	// to To are selected.
	Keep     []bool
	From, To int64
}

const (
	testHit  = 1 // selected
	testFail = 2 // not between Min and Max
)

func (t *IntTest) test(v int64) uint8 {
	hit := v >= t.From && v <= t.To
	switch {
	case v < t.Min || v > t.Max:
		return testFail
	case t.Keep != nil:
		hit = t.Keep[v-t.Min]
	}
	if hit {
		return testHit
	}
	return 0
}

// SelectInts reads a column of exactly n values, as DecodeInts does, and returns the rows of those that t
// selects. It is for who doesn't need the values: most columns are of one byte a value, and are tested
// without being decoded.
func SelectInts(d *Decoder, n int, t *IntTest) *Bitmap {
	rows := NewBitmap(n)
	h := d.intHeader(n)
	if d.err != nil || h.n == 0 {
		return rows
	}
	seen := uint8(0)
	if h.transform == transformFrame && !h.packed && h.huffman == nil && h.width == 1 {
		// Fast path: a table of what each byte stands for.
		var table [256]uint8
		for i := range table {
			table[i] = t.test(h.base + int64(i))
		}
		for i := range rows.words {
			word, fault := selectBytes(&table, h.payload[i<<6:min(n, i<<6+64)])
			rows.words[i] = word
			seen |= fault
		}
	} else {
		s := getScratch(n)
		defer putScratch(s)
		h.decode(*s)
		for i, v := range *s {
			hit := t.test(v)
			seen |= hit
			rows.words[i>>6] |= uint64(hit&testHit) << (i & 63)
		}
	}
	if seen&testFail != 0 {
		d.Failf("value not between %d and %d", t.Min, t.Max)
	}
	return rows
}

// selectBytes returns the bits of at most 64 bytes that table selects, and all that table says of them.
func selectBytes(table *[256]uint8, p []byte) (word uint64, seen uint8) {
	for i, b := range p {
		hit := table[b]
		seen |= hit
		word |= uint64(hit&testHit) << (i & 63)
	}
	return word, seen
}
