package traces

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/column"
)

// Sections describes the sections of a traces block, for block.Inspect.
var Sections = []block.Describer{
	{Kind: sectionGroupsV1, Name: "traces of version 1"},
	{Kind: sectionGroups, Name: "traces row groups", Describe: func(data []byte) (string, error) {
		x, err := decodeGroupIndex(data)
		if err != nil {
			return "", err
		}
		spans := 0
		for i := range x.entries {
			spans += x.entries[i].spans
		}
		return fmt.Sprintf("%d row groups of %d spans in %d traces", len(x.entries), spans, x.traces()), nil
	}},
	{Kind: sectionIDs, Name: "traces IDs", Describe: func(data []byte) (string, error) {
		d := block.NewDecoder(data)
		f := d.IDFilter()
		return fmt.Sprintf("%d IDs in %d pieces", f.Entries, f.Pieces), d.Finish()
	}},
	{Kind: sectionTags, Name: "traces tags", Describe: func(data []byte) (string, error) {
		tags, err := decodeTags(data)
		return fmt.Sprintf("%d keys", len(tags)), err
	}},
	{Kind: sectionSplitRows, Name: "traces in pieces, of an earlier version"},
	{Kind: sectionSplit, Name: "traces in pieces"},
}

// GroupInfo says what a row group of a block consists of.
type GroupInfo struct {
	Group     int              `json:"group"`
	Traces    int              `json:"traces"`
	Spans     int              `json:"spans"`
	Events    int              `json:"events"`
	Links     int              `json:"links"`
	Oldest    int64            `json:"oldest"` // start of a trace, nanoseconds since 1970
	Newest    int64            `json:"newest"`
	Classes   int              `json:"classes"`
	Shapes    int              `json:"shapes"`
	Resources int              `json:"resources"`
	Stored    map[string]int64 `json:"stored"` // bytes in the object by class, trace IDs and chunks of times and span IDs
	Directory int64            `json:"directory"`
	Columns   map[string]int   `json:"columns"` // of attributes: how many of each kind
}

var (
	groupClassNames = [column.Classes]string{column.Spine: "spine", column.Strings: "strings", column.Bulk: "bulk", column.Filters: "filters"}
	valueKindNames  = [...]string{kindPlain: "plain", kindClass: "class", kindTrace: "trace", kindTable: "table"}
)

// IsBlock reports whether r is a block of traces.
func IsBlock(r *block.Reader) bool { return r.Has(sectionGroups) || r.Has(sectionGroupsV1) }

// Groups returns how many row groups the block has.
func (b *Block) Groups() int { return len(b.entries) }

// Inspect reads the directory of a row group.
func (b *Block) Inspect(ctx context.Context, group int) (GroupInfo, error) {
	if group < 0 || group >= len(b.entries) {
		return GroupInfo{}, fmt.Errorf("row group %d of %d", group, len(b.entries))
	}
	d, err := b.directory(ctx, group)
	if err != nil {
		return GroupInfo{}, err
	}
	e := &b.entries[group]
	info := GroupInfo{Group: group, Traces: e.traces, Spans: e.spans, Events: e.events, Links: e.links, Oldest: int64(e.minStart), Newest: int64(e.maxStart),
		Classes: len(d.classes), Shapes: len(d.shapes), Resources: len(d.resources), Stored: map[string]int64{},
		Directory: int64(b.index.places[group].directory.len), Columns: map[string]int{}}
	for _, blob := range d.page.Blobs {
		info.Stored[groupClassNames[blob.Class]] += int64(blob.StoredLen)
	}
	info.Stored["ids"] = int64(d.ids.stored)
	for i := range d.chunks {
		info.Stored["chunks"] += int64(d.chunks[i].stored)
	}
	for i := range d.columns {
		info.Columns[valueKindNames[d.columns[i].kind]]++
	}
	return info, nil
}

// Dump gives the traces of the block to visit, from the first one of a row group on, in the order of the block,
// until it returns an error. A trace in pieces comes in pieces.
func (b *Block) Dump(ctx context.Context, group int, visit func(*Trace) error) error {
	if group < 0 || group > len(b.entries) {
		return fmt.Errorf("row group %d of %d", group, len(b.entries))
	}
	for ; group < len(b.entries); group++ {
		g, err := b.groupSet.open(ctx, group)
		if err != nil {
			return err
		}
		all := make([]int, g.entry.traces)
		for t := range all {
			all[t] = t
		}
		var stopped error
		err = g.build(ctx, all, nil, func(t *Trace) bool {
			stopped = visit(t)
			return stopped == nil
		})
		if err = errors.Join(stopped, err); err != nil {
			return err
		}
	}
	return nil
}

// Verify reads all of a traces block and checks what its index says against its spans. fault is called for
// everything that is wrong, as a *block.CorruptionError; a fault that hides others is called alone. The error is
// that of a source that doesn't answer.
func Verify(ctx context.Context, r *block.Reader, fault func(error)) error {
	check := func(err error) error {
		if err != nil && (block.IsCorruption(err) || errors.Is(err, block.ErrNoSection) || errors.Is(err, block.ErrVersion)) {
			fault(err)
			return nil
		}
		return err
	}
	b, err := OpenBlock(ctx, r)
	if err != nil {
		return check(err)
	}
	index, err := b.idPlaces(ctx)
	if err != nil {
		return check(err)
	}
	if _, err := b.tags(ctx); err != nil {
		if err := check(err); err != nil {
			return err
		}
	}
	for i := range b.entries {
		if err := check(b.verifyGroup(ctx, i, index)); err != nil {
			return err
		}
	}
	return nil
}

// verifyGroup rebuilds the spans of a row group and compares them with what the index says.
func (b *Block) verifyGroup(ctx context.Context, i int, index []idPlace) error {
	d, err := b.directory(ctx, i)
	if err != nil {
		return err
	}
	ids := make([]int, d.blobs())
	for k := range ids {
		ids[k] = k
	}
	if _, err := b.blobs(ctx, i, d, ids, nil); err != nil {
		return err
	}
	g, err := b.groupSet.open(ctx, i)
	if err != nil {
		return err
	}
	all := make([]int, g.entry.traces)
	for t := range all {
		all[t] = t
	}
	n := 0
	var wrong error
	err = g.build(ctx, all, nil, func(t *Trace) bool {
		start, end := t.Bounds()
		place := newIDPlace(block.HashID(t.ID[:]), tracePlace{i, n})
		_, known := slices.BinarySearchFunc(index, place, idPlace.compare)
		switch {
		case start != g.starts[n] || end != g.ends[n]:
			wrong = fmt.Errorf("trace %s is from %d to %d, its table says %d to %d", t.ID, start, end, g.starts[n], g.ends[n])
		case !known:
			wrong = fmt.Errorf("the filter of IDs doesn't lead to trace %s", t.ID)
		}
		n++
		return wrong == nil
	})
	if err == nil && wrong != nil {
		err = b.corrupt(i, "traces", wrong)
	}
	return err
}
