package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/traces"
)

// blockReport is what hune block inspect prints.
type blockReport struct {
	Block    string          `json:"block"`
	Size     int64           `json:"size"`
	Version  string          `json:"version"`
	Blobs    uint64          `json:"blobs"`
	Stored   uint64          `json:"blobs_stored"`
	Raw      uint64          `json:"blobs_raw"`
	Sections []sectionReport `json:"sections"`
	Pages    []logs.PageInfo `json:"pages,omitempty"`
	// Groups are the row groups of traces.
	Groups []traces.GroupInfo `json:"groups,omitempty"`
}

type sectionReport struct {
	Kind   uint32 `json:"kind"`
	Name   string `json:"name,omitempty"`
	Offset int64  `json:"offset"`
	Stored int64  `json:"stored"`
	Raw    int64  `json:"raw"`
	Codec  string `json:"codec"`
	CRC32C string `json:"crc32c"`
	Detail string `json:"detail,omitempty"`
	Error  string `json:"error,omitempty"`
}

// knownSections describes the sections of both signals.
func knownSections() []block.Describer { return slices.Concat(traces.Sections, logs.Sections) }

func newBlockInspect() *cobra.Command {
	var output string
	cmd := &cobra.Command{Use: "inspect FILE", Short: "Print what a block consists of", Args: cobra.ExactArgs(1),
		RunE: withBlock(func(cmd *cobra.Command, f *blockFile) error {
			r, err := inspectBlock(cmd.Context(), f)
			if err != nil {
				return err
			}
			switch output {
			case "text":
				return r.print(cmd.OutOrStdout())
			case "json":
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(r)
			}
			return fmt.Errorf("--output %q is neither text nor json", output)
		})}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`form` of the output: text or json")
	return cmd
}

func inspectBlock(ctx context.Context, f *blockFile) (*blockReport, error) {
	major, minor := f.Version()
	totals := f.Totals()
	r := &blockReport{Block: f.name, Size: f.Size(), Version: fmt.Sprintf("%d.%d", major, minor), Blobs: totals.Blobs, Stored: totals.Stored, Raw: totals.Raw}
	infos, err := block.Inspect(ctx, f.Reader, knownSections()...)
	if err != nil {
		return nil, err
	}
	for _, s := range infos {
		one := sectionReport{Kind: uint32(s.Kind), Name: s.Name, Offset: s.Offset, Stored: s.Stored, Raw: s.Raw, Codec: s.Codec.String(),
			CRC32C: fmt.Sprintf("%08x", s.CRC), Detail: s.Detail}
		if s.Err != nil {
			one.Error = s.Err.Error()
		}
		r.Sections = append(r.Sections, one)
	}
	if traces.IsBlock(f.Reader) {
		return r, r.inspectTraces(ctx, f)
	}
	if !logs.IsBlock(f.Reader) {
		return r, nil
	}
	b, err := logs.OpenBlock(ctx, f.Reader)
	if err != nil {
		return nil, err
	}
	for i := range b.Pages() {
		info, err := b.Inspect(ctx, i)
		if err != nil {
			return nil, err
		}
		r.Pages = append(r.Pages, info)
	}
	return r, nil
}

func (r *blockReport) inspectTraces(ctx context.Context, f *blockFile) error {
	b, err := traces.OpenBlock(ctx, f.Reader)
	if err != nil {
		return err
	}
	for i := range b.Groups() {
		info, err := b.Inspect(ctx, i)
		if err != nil {
			return err
		}
		r.Groups = append(r.Groups, info)
	}
	return nil
}

func (r *blockReport) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	p := func(cells ...any) { // the error comes with Flush
		for i, c := range cells {
			if i > 0 {
				_, _ = fmt.Fprint(t, "\t")
			}
			_, _ = fmt.Fprint(t, c)
		}
		_, _ = fmt.Fprintln(t)
	}
	p("block", r.Block)
	p("size", r.Size)
	p("version", r.Version)
	p("blobs", fmt.Sprintf("%d, %d bytes, decoded %d", r.Blobs, r.Stored, r.Raw))
	p()
	p("SECTION", "NAME", "OFFSET", "STORED", "RAW", "CODEC", "CRC32C", "CONTENT")
	for _, s := range r.Sections {
		p(s.Kind, s.Name, s.Offset, s.Stored, s.Raw, s.Codec, s.CRC32C, s.Detail+s.Error)
	}
	if len(r.Pages) > 0 {
		p()
		p("PAGE", "ROWS", "STREAMS", "OLDEST", "NEWEST", "LINES", "METADATA", "STORED", "SPINE", "STRINGS", "BULK", "FILTERS", "DIRECTORY", "TEMPLATES", "COLUMNS")
	}
	for i := range r.Pages {
		g := &r.Pages[i]
		stored := int64(0)
		for _, n := range g.Stored {
			stored += n
		}
		class := func(name string) string { return fmt.Sprintf("%d/%d", g.Stored[name], g.Raw[name]) }
		p(g.Page, g.Rows, g.Streams, nanoTime(g.Oldest), nanoTime(g.Newest), g.LineBytes, g.MetadataBytes, stored,
			class("spine"), class("strings"), class("bulk"), class("filters"), g.Directory, g.Templates, kinds(g.Columns))
	}
	if len(r.Groups) > 0 {
		p()
		p("GROUP", "TRACES", "SPANS", "EVENTS", "LINKS", "OLDEST", "NEWEST", "CLASSES", "SHAPES", "RESOURCES", "SPINE", "STRINGS", "BULK", "FILTERS", "IDS", "CHUNKS", "DIRECTORY", "ATTRIBUTES")
	}
	for i := range r.Groups {
		g := &r.Groups[i]
		p(g.Group, g.Traces, g.Spans, g.Events, g.Links, nanoTime(g.Oldest), nanoTime(g.Newest), g.Classes, g.Shapes, g.Resources,
			g.Stored["spine"], g.Stored["strings"], g.Stored["bulk"], g.Stored["filters"], g.Stored["ids"], g.Stored["chunks"], g.Directory, kinds(g.Columns))
	}
	return t.Flush()
}

func kinds(columns map[string]int) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		out = append(out, fmt.Sprintf("%s %d", name, columns[name]))
	}
	return strings.Join(out, ", ")
}

func nanoTime(t int64) string { return time.Unix(0, t).UTC().Format(time.RFC3339Nano) }
