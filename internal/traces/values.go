package traces

import (
	"cmp"
	"math"
)

func floatBits(f float64) uint64 { return math.Float64bits(f) }

// compareValues orders attribute values by type, then by value. NaN comes before every number.
func compareValues(a, b Attribute) int {
	if c := cmp.Compare(a.Type, b.Type); c != 0 {
		return c
	}
	switch a.Type {
	case TypeString:
		return cmp.Compare(a.Str, b.Str)
	case TypeFloat:
		if c := cmp.Compare(a.Float, b.Float); c != 0 {
			return c
		}
		return cmp.Compare(math.Float64bits(a.Float), math.Float64bits(b.Float)) // -0 and 0
	}
	return cmp.Compare(a.Int, b.Int)
}
