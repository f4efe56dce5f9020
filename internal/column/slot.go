package column

// Slot is where the rows of a template differ. Its values are those of its column: value j is of the
// template's row j, or, where Shared, of the row's place among the rows that have the column, see
// Reader.SlotRows.
type Slot struct {
	Column *Column // nil where it is in a part, see Values
	Shared int     // index in Shared of the Text column; -1: the slot has a column of its own
	part   *slotPart
	place  int // among the columns of part
}

// Values returns the column of the slot, which is read first where nobody has asked for it yet. One that can't be
// read is taken to be empty values, and Page.Err says so.
func (s *Slot) Values() *Column {
	if s.part == nil {
		return s.Column
	}
	return s.part.columns()[s.place]
}
