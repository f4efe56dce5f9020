// Package loggen makes log lines that imitate those of real systems, for tests and benchmarks.
//
// Nothing is copied from anywhere: a set is a list of templates, each with a weight, and a model for each
// field. The models have what makes real logs compress as they do: few values that are frequent and many
// that are rare (Zipf), identifiers that a handful of nearby lines share, times that go forward with
// jitter, templates that occur once in ten thousand lines, and a little free text. The adversarial sets
// lack all of it on purpose.
//
// Equal seeds give equal lines. Any amount can be made one line at a time (Set.Stream), so that a
// benchmark of gigabytes needs no memory for them.
package loggen
