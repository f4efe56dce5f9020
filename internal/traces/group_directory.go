package traces

import (
	"fmt"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// decodeGroupDirectory reads the directory of the row group that e describes, from bytes that may be hostile. Resources
// that known has are shared, nil: none.
func decodeGroupDirectory(data []byte, e *groupEntry, known *resourceCache) (*groupDirectory, error) {
	d := block.NewDecoder(data)
	r := directoryReader{d, &groupDirectory{}, e, known}
	flags := d.Byte()
	if flags&^flagsKnown != 0 {
		d.Failf("unknown flags %#x", flags)
	}
	r.dir.classNames, r.dir.classScopes = flags&flagClassNames != 0, flags&flagClassScope != 0
	r.resources()
	r.scopes()
	r.dir.names = d.StringList()
	r.shapes()
	r.classes()
	r.columns()
	stored, tables := d.Uvarint(), d.Uvarint()
	if stored>>fixedColumns != 0 || tables&^stored != 0 {
		d.Failf("unknown columns %#x, tables %#x", stored, tables)
	}
	r.dir.ids = r.blob()
	if want := 16 * e.traces; int(r.dir.ids.raw) != want && d.Err() == nil {
		d.Failf("trace IDs of %d bytes, want %d", r.dir.ids.raw, want)
	}
	for range 3 * chunkCount(e.spans) {
		if d.Err() != nil {
			return nil, d.Err()
		}
		r.dir.chunks = append(r.dir.chunks, r.blob())
	}
	if d.Err() != nil {
		return nil, d.Err()
	}
	page, err := column.DecodePage(d)
	if err != nil {
		return nil, err
	}
	r.dir.page = page
	if err := d.Finish(); err != nil {
		return nil, err
	}
	if err := r.assign(stored, tables); err != nil {
		return nil, err
	}
	return r.dir, nil
}

type directoryReader struct {
	d     *block.Decoder
	dir   *groupDirectory
	e     *groupEntry
	known *resourceCache
}

// below reads a number that must be less than limit.
func (r *directoryReader) below(limit int, what string) int {
	n := r.d.Uvarint()
	if r.d.Err() == nil && n >= uint64(limit) {
		r.d.Failf("%s %d of %d", what, n, limit)
	}
	if r.d.Err() != nil {
		return 0
	}
	return int(n)
}

func (r *directoryReader) resources() {
	r.dir.services = r.d.StringList()
	r.dir.ofService = make([][]int, len(r.dir.services))
	r.dir.resources = make([]*Resource, r.d.Count(block.MaxRows, 2))
	for i := range r.dir.resources {
		service := r.below(len(r.dir.services), "service")
		m := r.d.Prefixed()
		if r.d.Err() != nil {
			return
		}
		w := walker{limits: unlimited, v: nothing{}, resources: r.known}
		if err := w.resourceSpans(string(m)); err != nil {
			r.d.Fail(fmt.Errorf("resource %d: %w", i, err))
			return
		}
		if w.resource.ServiceName != r.dir.services[service] {
			r.d.Failf("resource %d is of service %q, its class says %q", i, w.resource.ServiceName, r.dir.services[service])
		}
		r.dir.resources[i] = w.resource
		r.dir.ofService[service] = append(r.dir.ofService[service], i)
	}
}

func (r *directoryReader) scopes() {
	r.dir.scopes = make([]*Scope, r.d.Count(block.MaxRows, 1))
	for i := range r.dir.scopes {
		m := r.d.Prefixed()
		if r.d.Err() != nil {
			return
		}
		w := walker{limits: unlimited, v: nothing{}}
		if err := w.scopeSpans(string(m)); err != nil {
			r.d.Fail(fmt.Errorf("scope %d: %w", i, err))
			return
		}
		r.dir.scopes[i] = w.scope
	}
}

// nothing visits the spans that a table of resources or scopes should not have.
type nothing struct{}

func (nothing) span(ID, *Span) error  { return nil }
func (nothing) reject(string, string) {}

func (r *directoryReader) shapes() {
	r.dir.shapes = make([][]uint32, r.d.Count(block.MaxRows, 1))
	for i := range r.dir.shapes {
		shape := make([]uint32, r.d.Count(block.MaxRows, 1))
		for j := range shape {
			shape[j] = uint32(r.below(maxColumns+1, "column"))
		}
		if r.d.Err() != nil {
			return
		}
		r.dir.shapes[i] = shape
	}
}

func (r *directoryReader) classes() {
	dir := r.dir
	dir.classes = make([]class, r.d.Count(block.MaxRows, 5))
	names, scopes := len(dir.names), len(dir.scopes)
	if !dir.classNames {
		names = 1
	}
	for i := range dir.classes {
		c := &dir.classes[i]
		c.shape, c.service = r.below(len(dir.shapes), "shape"), r.below(len(dir.services), "service")
		c.name, c.scope = r.below(names, "name"), r.below(scopes, "scope")
		b := r.d.Byte()
		c.kind, c.status = Kind(b&15), Status(b>>4)
		if r.d.Err() == nil && (c.kind > KindConsumer || c.status > StatusError) {
			r.d.Failf("class of kind %d and status %d", c.kind, c.status)
		}
		if r.d.Err() != nil {
			return
		}
	}
	if r.d.Err() == nil && len(dir.classes) == 0 {
		r.d.Failf("no classes")
	}
}

func (r *directoryReader) columns() {
	keys := r.d.StringList()
	dir := r.dir
	dir.columns = make([]columnDef, r.d.Count(maxColumns, 4))
	for i := range dir.columns {
		dir.columns[i] = decodeColumnDef(r.d, keys)
		if r.d.Err() != nil {
			return
		}
	}
	if r.d.Err() != nil {
		return
	}
	for i, shape := range dir.shapes {
		place := -1
		for _, c := range shape {
			if c == 0 {
				continue
			}
			if int(c) > len(dir.columns) {
				r.d.Failf("shape %d has column %d of %d", i, c, len(dir.columns))
				return
			}
			if at := dir.columns[c-1].place; place >= 0 && at != place {
				r.d.Failf("shape %d has columns of several places", i)
				return
			} else {
				place = at
			}
		}
	}
	for i, c := range dir.classes {
		for _, column := range dir.shapes[c.shape] {
			if column > 0 && dir.columns[column-1].place != onSpan {
				r.d.Failf("class %d has a shape of events or links", i)
				return
			}
		}
	}
}

func (r *directoryReader) blob() blobInfo {
	b := blobInfo{codec: block.Codec(r.d.Byte())}
	raw, stored := r.d.Uvarint(), r.d.Uvarint()
	if r.d.Err() == nil && (raw > block.MaxBlobLen || stored > block.MaxBlobLen+64) {
		r.d.Failf("blob of %d bytes in %d", raw, stored)
	}
	b.raw, b.stored = uint32(raw), uint32(stored)
	return b
}

// assign says which column of the page is which, and checks their rows.
func (r *directoryReader) assign(stored, tables uint64) error {
	next := 0
	page := r.dir.page.Columns
	take := func() *column.Column {
		next++
		if next > len(page) {
			return &column.Column{}
		}
		return page[next-1]
	}
	for i := range r.dir.fixed {
		r.dir.fixed[i] = -1
		if stored>>i&1 == 0 {
			continue
		}
		r.dir.fixed[i] = next
		c := take()
		if r.dir.fixedTable[i] = tables>>i&1 != 0; r.dir.fixedTable[i] {
			c = take()
		}
		if want, known := r.rows(i); known && c.Rows != want {
			return fmt.Errorf("column %d of %d rows, want %d", i, c.Rows, want)
		}
		if !fixedText[i] && c.Kind != column.Int && c.Kind != column.Const || fixedText[i] && r.dir.fixedTable[i] && c.Kind != column.Int && c.Kind != column.Const {
			return fmt.Errorf("column %d is of kind %d", i, c.Kind)
		}
	}
	for i := range r.dir.columns {
		def := &r.dir.columns[i]
		r.dir.pageOf = append(r.dir.pageOf, next)
		if err := r.checkColumn(def, take); err != nil {
			return fmt.Errorf("attribute column %d: %w", i, err)
		}
	}
	if next != len(page) {
		return fmt.Errorf("%d columns, want %d", len(page), next)
	}
	return nil
}

// rows returns how many rows a fixed column has, where that is known.
func (r *directoryReader) rows(fix int) (n int, known bool) {
	switch {
	case fix <= fixTraceLength:
		return r.e.traces, true
	case fix == fixLoose || fix == fixLooseParent || fix >= fixRestSpan:
		return 0, false
	case fix > fixLinks:
		return r.e.links, true
	case fix > fixEvents && fix < fixLinks:
		return r.e.events, true
	}
	return r.e.spans, true
}

func (r *directoryReader) checkColumn(def *columnDef, take func() *column.Column) error {
	isNumber := func(c *column.Column) bool { return c.Kind == column.Int || c.Kind == column.Const }
	want := def.values
	if def.typ.isArray() {
		lens := take()
		if lens.Rows != def.values || !isNumber(lens) {
			return fmt.Errorf("%d lengths of %d arrays", lens.Rows, def.values)
		}
		want = -1
	}
	main := take()
	switch def.kind {
	case kindClass:
		if want = -1; main.Rows > len(r.dir.classes) {
			return fmt.Errorf("%d values of %d classes", main.Rows, len(r.dir.classes))
		}
		if def.except > 0 {
			places, values := take(), take()
			if places.Rows != def.except || values.Rows != def.except || !isNumber(places) || !def.typ.isText() && !isNumber(values) {
				return fmt.Errorf("%d and %d exceptions, want %d", places.Rows, values.Rows, def.except)
			}
		}
	case kindTrace:
		if want = -1; main.Rows > r.e.traces {
			return fmt.Errorf("%d values of %d traces", main.Rows, r.e.traces)
		}
	case kindTable:
		if !def.typ.isText() {
			return fmt.Errorf("table of numbers")
		}
		codes := take()
		if !isNumber(codes) || want >= 0 && codes.Rows != want {
			return fmt.Errorf("%d numbers of %d values", codes.Rows, def.values)
		}
		want = -1
	}
	if want >= 0 && main.Rows != want {
		return fmt.Errorf("%d values, want %d", main.Rows, want)
	}
	if !def.typ.isText() && !isNumber(main) {
		return fmt.Errorf("numbers of kind %d", main.Kind)
	}
	return nil
}
