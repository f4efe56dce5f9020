package column

// sparsePlaces returns for each row of a Sparse column the number of its value + 1, or 0 where it has
// none; nil where that isn't known yet.
func (r *Reader) sparsePlaces(c *Column) []uint32 {
	o := r.of(c)
	if o.sparse != nil {
		return o.sparse
	}
	present := r.Present(c)
	if o.present == nil {
		return nil
	}
	o.sparse = make([]uint32, c.Rows)
	n := uint32(0)
	for row := range o.sparse {
		if present.Has(row) {
			n++
			o.sparse[row] = n
		}
	}
	return o.sparse
}
