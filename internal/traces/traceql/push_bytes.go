package traceql

// countBytes counts the spans of runs where class and duration of a span are a byte each and classes tell which spans
// count: then most of the time of a query over many spans is the two additions of each. It reports false, and has done
// nothing, where that isn't so.
func (f *groupFold) countBytes(runs []run) (done bool, err error) {
	classes := f.classes.Bytes()
	if classes == nil || f.ranks != nil || f.bits != nil {
		return false, nil
	}
	var lengths []uint8
	if !f.acc.isCount() {
		if lengths, err = f.lengths(runs); lengths == nil || err != nil {
			return false, err
		}
		f.acc.seconds = f.acc.seconds || len(runs) > 0
		f.hist = make([]slotHistogram, len(f.groups))
	}
	for i, r := range runs {
		if lengths != nil {
			f.addLengths(classes[r.from:r.to], lengths[r.from:r.to])
		} else {
			f.addClasses(classes[r.from:r.to])
		}
		if i+1 == len(runs) || runs[i+1].step != r.step {
			f.touch()
			if err := f.flush(r.step); err != nil {
				return true, err
			}
		}
	}
	return true, nil
}

// lengths returns the codes of the durations of the row group, nil where too few are asked for to read all of them.
func (f *groupFold) lengths(runs []run) ([]uint8, error) {
	rows := 0
	for _, r := range runs {
		rows += r.to - r.from
	}
	if 2*rows >= f.g.Rows() {
		return f.g.Lengths(f.ctx)
	}
	return f.g.LengthsAtHand(f.ctx)
}

// addClasses counts spans by class. Spans of one class often follow each other, and an addition has to wait for the one
// before it to the same place: so neighbours are counted in different places.
func (f *groupFold) addClasses(classes []uint8) {
	var counts [4][256]uint32
	i := 0
	for ; i+4 <= len(classes); i += 4 {
		c := classes[i : i+4 : i+4]
		counts[0][c[0]]++
		counts[1][c[1]]++
		counts[2][c[2]]++
		counts[3][c[3]]++
	}
	for _, c := range classes[i:] {
		counts[0][c]++
	}
	for slot := range f.counts[:min(len(f.counts), 256)] {
		f.counts[slot] += counts[0][slot] + counts[1][slot] + counts[2][slot] + counts[3][slot]
	}
}

// addLengths counts spans by class and duration.
func (f *groupFold) addLengths(classes, lengths []uint8) {
	lengths = lengths[:len(classes)]
	for i, c := range classes {
		f.hist[c][lengths[i]>>2&63]++
	}
}

// touch lists the slots that have spans that count.
func (f *groupFold) touch() {
	for slot := range f.counts {
		some := f.counts[slot] > 0
		if f.hist != nil {
			h := &f.hist[slot]
			h[0] = 0 // see histogram
			some = *h != slotHistogram{}
		}
		switch {
		case !some:
		case f.mask != nil && !f.mask[slot]:
			f.counts[slot] = 0
			if f.hist != nil {
				f.hist[slot] = slotHistogram{}
			}
		default:
			f.touched = append(f.touched, slot)
		}
	}
}
