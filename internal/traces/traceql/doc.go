// Package traceql is the query language of the traces signal: lexer, parser, static types, printer
// and a naive engine over complete traces.
//
// The language is TraceQL as Tempo 3 answers it; what it means was taken from recorded answers
// (conformance/traceql). The engine evaluates span by span with no index of its own: it asks a
// traces.Source for traces that may match and decides the rest itself, so that a source may always
// answer with too much. That makes it the reference for every faster engine.
//
// # How a query runs
//
//	text ── Parse ──> *Query ── Check ──> typed ── compile ──> program ── per trace ──> span sets
//
// A trace enters the pipeline as one span set with all its spans. Each stage maps span sets to span
// sets: a filter keeps spans, `by` splits, `coalesce` joins, a scalar filter keeps or drops whole
// sets. What is left of a trace is its part of a search answer, or is counted by the metrics stage.
//
// # Rules that surprise
//
//   - A number's literal form selects the stored type: `.a = 200` doesn't meet the double 200.0. Two
//     comparisons of one key with both forms open the key for both; arithmetic always mixes.
//   - A comparison needs a value: `!=` and `!~` are false for a missing attribute. Only `= nil`
//     matches it.
//   - On arrays, events and links a comparison asks for any element. Exclusions of one attribute
//     joined by && (`.a != 1 && .a != 2`) ask for one element that is none of the values.
//   - parent.a is nil for roots and where the parent has not arrived, and so is parent.service.name.
//   - && and || have the same precedence and group from the left.
//
// # Not the reference's
//
// Integer powers, literals on the left of < and >, negation of a group, `= nil` beside other
// conditions, two conditions on one event attribute, aggregates over expressions that some spans
// lack and filters after select do what they say; the recorded server has defects there.
package traceql
