package column

import (
	"math"

	"github.com/hune-io/hune/internal/block"
)

// Below returns the numbers of an Int column, which must all be from 0 up to before limit: another is damage. They
// are shared, and valid until Release. As of Int64s, what is missing is noted as wanted; all are zero then.
func (r *Reader) Below(c *Column, limit uint32) []uint32 {
	o := r.of(c)
	if o.small != nil {
		return o.small
	}
	vals, ok := r.below(c, limit)
	if !ok {
		return make([]uint32, c.Rows)
	}
	o.small = vals
	return vals
}

func (r *Reader) below(c *Column, limit uint32) ([]uint32, bool) {
	if c.Kind != Int || c.Clock != nil || c.Zeros > 0 || r.of(c).ints != nil || c.Stamp.Min < 0 || c.Stamp.Max > math.MaxUint32 {
		return r.narrowed(c, limit)
	}
	b, ok := r.open(c)
	if !ok {
		return nil, false
	}
	d := block.NewDecoder(b)
	vals := block.DecodeBelow(d, smallPool.get(c.Rows), c.Rows, min(limit, uint32(min(c.Stamp.Max, math.MaxUint32-1)+1)))
	if err := d.Finish(); err != nil {
		r.damaged(c, err)
		return nil, false
	}
	return vals, true
}

// narrowed is below by way of Int64s.
func (r *Reader) narrowed(c *Column, limit uint32) ([]uint32, bool) {
	wide, ok := r.ints(c)
	if !ok {
		return nil, false
	}
	vals := make([]uint32, len(wide))
	for i, v := range wide {
		if uint64(v) >= uint64(limit) {
			r.damaged(c, errMismatch)
			return nil, false
		}
		vals[i] = uint32(v)
	}
	return vals, true
}
