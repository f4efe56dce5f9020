// Package logql is the LogQL language: text to syntax tree and back, and an engine that answers
// queries over a logs.Source.
//
// The tree (ast.go) covers the whole grammar of Loki 3.7 and Hune's extension `distinct`. Parse and
// Expr.String are inverse: printing a tree and parsing the text gives an equal tree. Faults in a query
// are *ParseError inside a fault.Invalid error, with Loki's wording, line and column, and a hint of Hune's beside it.
// ParseTolerant (draft.go) reads what is still being typed: it passes over faults and says what may come at the cursor.
//
// What Loki does is the meaning of a query, where that is a rule and not an accident of its storage. The rules that
// surprise are in docs/compatibility/loki.md and, with a case each, in testdata.
//
// The engine (engine.go) makes a plan of the tree (plan.go), optimises it (plan_optimize.go) and evaluates it. It
// reads rows in time order, runs each through a pipeline of stages
// (pipeline.go) over one reusable label set, and either hands entries out until the limit is reached
// or folds them into samples by step. It holds no row: memory is bounded by the entries of the answer
// or by series × steps, with limits for both.
//
// A plan may be cut by time and by streams (split.go): jobs make the samples or entries of their rows, and who
// coordinates them (coordinate.go) merges these (merge.go) and computes the rest of the plan. Merged answers are
// those of one job. What a query holds and looks at is bounded (budget.go); what it would cost can be asked without
// running it (explain.go).
//
// Where the source has columns, most of that work is saved (push.go): which rows a filter on fields lets
// pass, samples and series are read from the columns of a page. The pipeline remains the word on what a
// query means; rows of which the columns don't tell go through it, and tests compare the two.
package logql
