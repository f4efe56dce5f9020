package split

import (
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser/posrange"
	"github.com/prometheus/prometheus/util/annotations"
)

// maxAnnotations bounds those of an answer that is encoded.
const maxAnnotations = 100

// Kinds of annotations, as they are encoded.
const (
	plain = iota // an error like any other
	warning
	info
)

// placed is the type of annotations with a place in the query, which Prometheus shows behind the text. It has no name outside
// of its package, but its fields do.
var placed = reflect.TypeOf(annotations.NewInvalidQuantileWarning(0, posrange.PositionRange{}))

// annotation is one that was encoded.
type annotation struct {
	text string
	kind error // nil for plain
}

func (a annotation) Error() string { return a.text }
func (a annotation) Unwrap() error { return a.kind }

// appendAnnotations appends the number of annotations, and of each in the order of their texts: its kind, which is negative
// for one without a place, the two ends of the place, and its text.
func appendAnnotations(dst []byte, all annotations.Annotations) []byte {
	errs := all.AsErrors()
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	dst = binary.AppendUvarint(dst, uint64(len(errs)))
	for _, err := range errs {
		kind := int64(plain)
		switch {
		case errors.Is(err, annotations.PromQLInfo):
			kind = info
		case errors.Is(err, annotations.PromQLWarning):
			kind = warning
		}
		var at posrange.PositionRange
		if v := reflect.ValueOf(err); v.Type() == placed {
			at = v.FieldByName("PositionRange").Interface().(posrange.PositionRange)
			err = v.FieldByName("Err").Interface().(error)
		} else {
			kind = -kind - 1
		}
		dst = binary.AppendVarint(dst, kind)
		dst = binary.AppendVarint(binary.AppendVarint(dst, int64(at.Start)), int64(at.End))
		dst = append(binary.AppendUvarint(dst, uint64(len(err.Error()))), err.Error()...)
	}
	return dst
}

func (d *decoder) annotations() (out annotations.Annotations) {
	for range d.count(4) {
		kind, start, end := d.varint(), d.varint(), d.varint()
		a := annotation{text: d.take(d.uvarint())}
		hasPlace := kind >= 0
		if !hasPlace {
			kind = -kind - 1
		}
		switch kind {
		case plain:
		case warning:
			a.kind = annotations.PromQLWarning
		case info:
			a.kind = annotations.PromQLInfo
		default:
			d.fail()
		}
		if d.err != nil {
			return nil
		}
		var err error = a
		if hasPlace {
			v := reflect.New(placed).Elem()
			v.FieldByName("PositionRange").Set(reflect.ValueOf(posrange.PositionRange{Start: posrange.Pos(start), End: posrange.Pos(end)}))
			v.FieldByName("Err").Set(reflect.ValueOf(err))
			err = v.Interface().(error)
		}
		out.Add(err)
	}
	return out
}
