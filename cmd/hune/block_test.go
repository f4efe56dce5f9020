package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/hune-io/hune/internal/block"
	"github.com/hune-io/hune/internal/logs"
	"github.com/hune-io/hune/internal/traces"
)

var (
	rewriteBlock     = flag.Bool("rewrite", false, "write the golden output of hune block anew")
	rewriteBlockOnce sync.Once
)

// logsBlock writes a small block of logs and returns its folder.
func logsBlock(t *testing.T) string {
	t.Helper()
	const start = 1_768_435_200_000_000_000
	web := logs.Stream{Labels: labels.FromStrings("app", "shop", "service_name", "shop")}
	for i := range 40 {
		e := logs.Entry{Timestamp: start + int64(i)*1e6, Line: fmt.Sprintf(`{"level":"info","status":%d,"path":"/items/%d"}`, 200+i%3, i*7919%1000),
			Metadata: []logs.Label{{Name: logs.DetectedLevel, Value: logs.LevelInfo}}}
		if i%10 == 0 {
			e.Metadata = append(e.Metadata, logs.Label{Name: "trace_id", Value: fmt.Sprintf("%032x", uint64(i+1)*0x9e3779b97f4a7c15)})
		}
		web.Entries = append(web.Entries, e)
	}
	small := logs.Stream{Labels: labels.FromStrings("app", "cron"), Entries: []logs.Entry{
		{Timestamp: start, Line: "job \"backup\" started"}, {Timestamp: start + 5, Line: "two\nlines"}}}
	h := logs.NewHead(logs.HeadOptions{Block: logs.BlockOptions{PageRows: 20}})
	require.Equal(t, 42, h.Append(&logs.Batch{Streams: []logs.Stream{web, small}}).Added)
	dir := t.TempDir()
	require.NoError(t, h.WriteBlock(t.Context(), dir, &block.Meta{ULID: ulid.MustParse("01J00000000000000000000000"), Tenant: "t", Producer: "test", Created: time.Unix(1, 0)}))
	return dir
}

// goldenBlock returns a folder with a copy of testdata/block.hune, a block as logsBlock once wrote it: what
// is printed of it doesn't change with the encoder.
func goldenBlock(t *testing.T) string {
	t.Helper()
	file := filepath.Join("testdata", "block.hune")
	if *rewriteBlock {
		// Once for all tests: an encoder learns, so that the next block may be another one.
		rewriteBlockOnce.Do(func() {
			content, err := os.ReadFile(filepath.Join(logsBlock(t), block.DataFile))
			require.NoError(t, err)
			require.NoError(t, os.MkdirAll("testdata", 0o755))
			require.NoError(t, os.WriteFile(file, content, 0o644))
		})
	}
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, block.DataFile), content, 0o644))
	return dir
}

// runBlock runs hune block with args and returns what it prints, with dir as DIR.
func runBlock(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := newCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append([]string{"block"}, args...))
	err := cmd.ExecuteContext(t.Context())
	return strings.ReplaceAll(out.String(), dir, "DIR"), err
}

func requireGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewriteBlock {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestBlockInspect(t *testing.T) {
	dir := goldenBlock(t)
	out, err := runBlock(t, dir, "inspect", dir)
	require.NoError(t, err)
	requireGolden(t, "block_inspect.txt", out)

	out, err = runBlock(t, dir, "inspect", "-o", "json", filepath.Join(dir, block.DataFile))
	require.NoError(t, err)
	var r blockReport
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Len(t, r.Sections, 4)
	require.Len(t, r.Pages, 3)
	require.Equal(t, "2026-01-15T00:00:00Z", nanoTime(r.Pages[0].Oldest))
	rows := 0
	for _, p := range r.Pages {
		rows += p.Rows
	}
	require.Equal(t, 42, rows)
	_, err = runBlock(t, dir, "inspect", "-o", "xml", dir)
	require.ErrorContains(t, err, "neither text nor json")
	_, err = runBlock(t, dir, "inspect", filepath.Join(dir, "nothing"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestBlockDump(t *testing.T) {
	dir := goldenBlock(t)
	all, err := runBlock(t, dir, "dump", dir)
	require.NoError(t, err)
	requireGolden(t, "block_dump.txt", all)
	lines := strings.SplitAfter(all, "\n")
	out, err := runBlock(t, dir, "dump", "--limit", "3", dir)
	require.NoError(t, err)
	require.Equal(t, strings.Join(lines[:3], ""), out)
	out, err = runBlock(t, dir, "dump", "--from-page", "1", "--limit=1", dir)
	require.NoError(t, err)
	require.Equal(t, lines[20], out)
	_, err = runBlock(t, dir, "dump", "--from-page", "9", dir)
	require.ErrorContains(t, err, "page 9 of 3")
}

func TestBlockVerify(t *testing.T) {
	dir := logsBlock(t)
	out, err := runBlock(t, dir, "verify", dir)
	require.NoError(t, err)
	require.Equal(t, "DIR is whole\n", out)

	// A flipped bit is one line with block, part and offset, and the command fails. Without meta.json the
	// block's own checksums find it.
	require.NoError(t, os.Remove(filepath.Join(dir, block.MetaFile)))
	file := filepath.Join(dir, block.DataFile)
	good, err := os.ReadFile(file)
	require.NoError(t, err)
	for i := 0; i < len(good); i += 23 {
		bad := slices.Clone(good)
		bad[i] ^= 0x10
		require.NoError(t, os.WriteFile(file, bad, 0o644))
		out, err = runBlock(t, dir, "verify", file)
		require.Error(t, err, "byte %d", i)
		require.Regexp(t, `(?m)^corrupt block DIR/data\.hune: .+ at offset \d+: .+$`, out)
		require.Equal(t, strings.Count(out, "\n"), strings.Count(out, "corrupt block "), out)
	}
}

func TestBlockVerifyComparesMeta(t *testing.T) {
	dir := logsBlock(t)
	name := filepath.Join(dir, block.MetaFile)
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	m, err := block.DecodeMeta(content)
	require.NoError(t, err)
	m.Data.CRC32C++
	content, err = m.Encode()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(name, content, 0o644))
	out, err := runBlock(t, dir, "verify", dir)
	require.ErrorContains(t, err, "faults found: 1")
	require.Contains(t, out, "meta.json at offset 0: data.hune has")
}

// A block of traces is described, dumped and verified as one of logs is.
func TestBlockOfTraces(t *testing.T) {
	dir := t.TempDir()
	head := traces.NewHead(traces.HeadOptions{})
	shop := &traces.Resource{ServiceName: "shop", Attributes: []traces.Attribute{{Key: "service.name", Str: "shop"}}}
	_, err := head.Append(&traces.Batch{OTLP: traces.ToOTLP(&traces.Trace{ID: traces.ID{1}, Spans: []*traces.Span{
		{ID: traces.SpanID{2}, Name: "GET /", Start: 1e18, End: 1e18 + 5e6, Resource: shop, Scope: &traces.Scope{}},
		{ID: traces.SpanID{3}, ParentID: traces.SpanID{2}, Name: "SELECT", Start: 1e18 + 1e6, End: 1e18 + 2e6, Resource: shop, Scope: &traces.Scope{}}}})})
	require.NoError(t, err)
	require.NoError(t, head.WriteBlock(t.Context(), dir, &block.Meta{}))
	file := filepath.Join(dir, block.DataFile)
	out, err := runBlock(t, dir, "inspect", file)
	require.NoError(t, err)
	require.Contains(t, out, "1 row groups of 2 spans in 1 traces")
	out, err = runBlock(t, dir, "dump", file)
	require.NoError(t, err)
	require.Equal(t, `01000000000000000000000000000000 0200000000000000 0000000000000000 2001-09-09T01:46:40Z 5ms "shop" "GET /"
01000000000000000000000000000000 0300000000000000 0200000000000000 2001-09-09T01:46:40.001Z 1ms "shop" "SELECT"
`, out)
	out, err = runBlock(t, dir, "verify", file)
	require.NoError(t, err)
	require.Equal(t, "DIR/data.hune is whole\n", out)
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, at := range []int{20, len(data) / 2, len(data) - 60} {
		bad := bytes.Clone(data)
		bad[at] ^= 1
		require.NoError(t, os.WriteFile(file, bad, 0o644))
		_, err = runBlock(t, dir, "verify", file)
		require.Error(t, err, "byte %d", at)
	}

	// Version 1, which no release wrote, is refused by name.
	var buf bytes.Buffer
	w := block.NewWriter(&buf, block.WriterOptions{})
	require.NoError(t, w.Section(200, []byte("row groups"), block.CodecRaw))
	_, err = w.Close()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, buf.Bytes(), 0o644))
	_, err = runBlock(t, dir, "dump", file)
	require.ErrorContains(t, err, "traces blocks of version 1 can't be read")
}
