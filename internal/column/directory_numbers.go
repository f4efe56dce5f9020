package column

func (r *directoryReader) ints(c *Column, head byte, depth int) {
	d, s := r.d, &c.Stamp
	var form NumberForm
	r.format(&form.Int)
	s.Min = d.Varint()
	s.Max = s.Min + int64(d.Uvarint())
	var least, most byte
	if form.Int.ownLengths() {
		least, most = d.Byte(), d.Byte()
	}
	if head&(flagClock|flagSteady) != 0 {
		r.clock(&form, head, depth)
	}
	if head&flagSteady != 0 {
		r.grow(c.Rows)
	} else {
		r.payload(c)
		if head&flagZeros != 0 {
			form.Zeros = int(d.Byte())
		}
	}
	if form.Zeros > maxScale {
		d.Failf("numbers with %d zeros", form.Zeros)
	}
	r.setForm(c, form)
	if d.Err() != nil {
		return
	}
	if err := c.Int.checkRange(s.Min, s.Max); err != nil {
		d.Fail(err)
		return
	}
	c.stampInt()
	if c.Int.ownLengths() {
		s.MinLen, s.MaxLen = int(least), int(most)
		lo, hi := c.Int.lengthBounds()
		if least < lo || most < least || most > hi {
			d.Failf("numbers %+v of %d to %d bytes", c.Int, least, most)
		}
	}
}

// lengthBounds returns the least and the greatest length of any number, of a format with its own lengths.
func (f *IntFormat) lengthBounds() (least, most byte) {
	if f.Form == IPv4 {
		return byte(len("0.0.0.0")), byte(len("255.255.255.255"))
	}
	return 1, byte(len("-.") + maxScale)
}

// clock reads the Clock of a column, which must be a slot of lines.
func (r *directoryReader) clock(c *NumberForm, head byte, depth int) {
	c.Clock = &Clock{Digits: int(r.d.Byte()), Steady: head&flagSteady != 0}
	if c.Clock.Steady {
		c.Clock.Residual = r.d.Varint()
	}
	timed := c.Int.Form == TimeOfDay || c.Int.Form == DateTime
	if depth != 1 || r.times == nil || head&flagClock == 0 || c.Int.Form == IPv4 ||
		c.Int.Trimmed || c.Clock.Digits > maxTimeScale || timed && c.Clock.Digits != c.Int.Scale {
		r.d.Failf("clock %+v of numbers %+v at depth %d", *c.Clock, c.Int, depth)
	}
}

// setForm gives c a form. Columns of the same form in succession share it.
func (r *directoryReader) setForm(c *Column, f NumberForm) {
	switch {
	case f == NumberForm{}:
	case r.form != nil && *r.form == f:
		c.NumberForm = r.form
	default:
		if len(r.forms) == 0 {
			r.forms = make([]NumberForm, 1+min(31, r.ahead()/16))
		}
		r.form, r.forms = &r.forms[0], r.forms[1:]
		*r.form = f
		c.NumberForm = r.form
	}
}

func (r *directoryReader) format(f *IntFormat) {
	d := r.d
	f.Form = IntForm(d.Byte())
	switch f.Form {
	case Decimal:
		f.Width = int(d.Byte())
		scale := d.Byte()
		f.Scale, f.Trimmed = int(scale&^formTrimmed), scale&formTrimmed != 0
	case IPv4:
	case TimeOfDay:
		f.Scale, f.Separator = int(d.Byte()), d.Byte()
	case DateTime:
		scale := d.Byte()
		f.Scale, f.Dotted = int(scale&^formDotted), scale&formDotted != 0
		f.Separator, f.DateSeparator = d.Byte(), d.Byte()
		f.Suffix = d.String()
		if len(f.Suffix) > maxNumberLen {
			d.Failf("time with a suffix of %d bytes", len(f.Suffix))
		}
	default:
		d.Failf("unknown form %d of numbers", f.Form)
	}
}

func (r *directoryReader) hex(c *Column, head byte) {
	r.setForm(c, NumberForm{Hex: HexFormat{Digits: int(r.d.Byte()), Upper: head&flagUpper != 0, UUID: head&flagUUID != 0}})
	if !c.Hex.check() {
		r.d.Failf("hexadecimal column of format %+v", c.Hex)
		return
	}
	r.place(c, c.Rows*c.Hex.width())
	c.stampHex(head&flagLetters != 0)
}
