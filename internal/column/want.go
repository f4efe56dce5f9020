package column

// Want reports whether everything that the values of c are made of is at hand, and notes what is not as
// wanted. Asked first, it saves a caller who will need all of it from working on a part.
func (r *Reader) Want(c *Column) bool { return r.allAtHand(c) }
