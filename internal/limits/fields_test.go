package limits

import (
	"iter"
	"reflect"
)

// numericFields yields the path of every numeric field of l and a function that makes it negative.
func numericFields(l *Limits) iter.Seq2[string, func(*Limits)] {
	return func(yield func(string, func(*Limits)) bool) {
		var walk func(t reflect.Type, path string, index []int) bool
		walk = func(t reflect.Type, path string, index []int) bool {
			for i := range t.NumField() {
				f := t.Field(i)
				at := append(append([]int{}, index...), i)
				name := path + f.Tag.Get("yaml")
				if f.Type.Kind() == reflect.Struct {
					if !walk(f.Type, name+".", at) {
						return false
					}
					continue
				}
				if k := f.Type.Kind(); k == reflect.Bool || k == reflect.Slice || k == reflect.String {
					continue
				}
				ok := yield(name, func(l *Limits) {
					v := reflect.ValueOf(l).Elem().FieldByIndex(at)
					if v.CanFloat() {
						v.SetFloat(-1)
						return
					}
					v.SetInt(-1)
				})
				if !ok {
					return false
				}
			}
			return true
		}
		walk(reflect.TypeOf(*l), "", nil)
	}
}
