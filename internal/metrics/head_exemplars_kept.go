package metrics

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/golang/snappy"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/encoding"
	"github.com/prometheus/prometheus/tsdb/record"

	"github.com/hune-io/hune/internal/tenant"
)

// exemplarsFile holds exemplars that the log of a database has no more. They are in no block, and the TSDB drops them from the
// log with the samples beside them: without the file a restart would lose those that were older than the last cut of the
// head, and the closing of an idle database all.
//
//	magic 8 bytes │ snappy: length of series u32, series, exemplars │ CRC-32C of all before, u32
//
// Series and exemplars are records as they are in the log. Integers are big-endian.
const exemplarsFile = "exemplars"

const exemplarsMagic = "HuneEx\x00\x01"

// keptExemplars are the exemplars of a tenant in its file. They are written before the log is cut, and seen beside those of
// the database until as many newer ones have come as a tenant may have.
type keptExemplars struct {
	path   string
	max    int
	logger *slog.Logger
	db     atomic.Pointer[tsdb.DB] // nil while it is opened

	mu     sync.Mutex
	loaded bool
	older  []ExemplarSeries // of the file as it was when the database was opened: the others are in there too
	block  ulid.ULID        // the newest block when they were written
	purged map[string]bool  // the requests to delete that the file has been written after
}

// load returns the exemplars of the file as it was at first, none of one that is damaged. k.mu must be held.
func (k *keptExemplars) load() ([]ExemplarSeries, error) {
	if k.loaded || k.max == 0 {
		return k.older, nil
	}
	list, err := readExemplars(k.path)
	switch {
	case errors.Is(err, errDamaged):
		k.logger.Error("file of older exemplars is damaged, they are lost", "path", k.path, "err", err)
	case err != nil:
		return nil, fmt.Errorf("read exemplars: %w", err)
	}
	k.older, k.loaded = list, true
	return list, nil
}

// matching returns those of the file in a range of time of series that pass any of the sets.
func (k *keptExemplars) matching(start, end int64, sets [][]*labels.Matcher) ([]ExemplarSeries, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list, err := k.load()
	return matchingExemplars(list, start, end, sets), err
}

func matchingExemplars(list []ExemplarSeries, start, end int64, sets [][]*labels.Matcher) (out []ExemplarSeries) {
	for _, s := range list {
		if len(sets) > 0 && !slices.ContainsFunc(sets, func(set []*labels.Matcher) bool { return matchesAll(set, s.Labels) }) {
			continue
		}
		found := ExemplarSeries{Labels: s.Labels}
		for _, e := range s.Exemplars {
			if e.Ts >= start && e.Ts <= end {
				found.Exemplars = append(found.Exemplars, e)
			}
		}
		if len(found.Exemplars) > 0 {
			out = append(out, found)
		}
	}
	return out
}

func matchesAll(set []*labels.Matcher, ls labels.Labels) bool {
	return !slices.ContainsFunc(set, func(m *labels.Matcher) bool { return !m.Matches(ls.Get(m.Name)) })
}

// beforeCut writes the file when the newest block is another than when it was written last: the log is about to be cut. The
// block that there is when the database is opened has been cut before.
func (k *keptExemplars) beforeCut(newest ulid.ULID, gone func() *Deletions) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	db := k.db.Load()
	if k.block == newest {
		return nil
	}
	if db != nil {
		if err := k.write(db, gone()); err != nil {
			return err
		}
	}
	k.block = newest
	return nil
}

// save writes the file.
func (k *keptExemplars) save(gone *Deletions) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.write(k.db.Load(), gone)
}

// purge writes the file without what is to be deleted, where it hasn't been written since that is known.
func (k *keptExemplars) purge(active, gone *Deletions) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	ids := map[string]bool{}
	fresh := false
	for _, id := range active.IDs() {
		ids[id] = true
		fresh = fresh || !k.purged[id]
	}
	if fresh {
		if err := k.write(k.db.Load(), gone); err != nil {
			return err
		}
	}
	k.purged = ids
	return nil
}

// write writes what is in the file and in the database, the newest of it, without what is deleted. k.mu must be held.
func (k *keptExemplars) write(db *tsdb.DB, gone *Deletions) error {
	if k.max == 0 {
		return nil
	}
	all, err := exemplarsOf(db)
	if err != nil {
		return err
	}
	older, err := k.load()
	if err != nil {
		return err
	}
	k.older = undeleted(older, gone)
	all = MergeExemplars(slices.Concat(undeleted(all, gone), k.older))
	if oldest, ok := oldestOfNewest(all, k.max); ok {
		all, k.older = since(all, oldest), since(k.older, oldest)
	}
	return writeExemplars(k.path, all)
}

// exemplarsOf are those of a database.
func exemplarsOf(db *tsdb.DB) ([]ExemplarSeries, error) {
	q, err := db.ExemplarQuerier(context.Background())
	if err != nil {
		return nil, fmt.Errorf("open exemplars: %w", err)
	}
	found, err := q.Select(MinTime, MaxTime, []*labels.Matcher{})
	if err != nil {
		return nil, fmt.Errorf("select exemplars: %w", err)
	}
	out := make([]ExemplarSeries, len(found))
	for i, f := range found {
		out[i] = ExemplarSeries{Labels: f.SeriesLabels, Exemplars: f.Exemplars}
	}
	return out, nil
}

// undeleted leaves deleted exemplars out of copies.
func undeleted(list []ExemplarSeries, gone *Deletions) []ExemplarSeries {
	out := make([]ExemplarSeries, 0, len(list))
	for _, s := range list {
		if left := exemplarsLeft(slices.Clone(s.Exemplars), gone, s.Labels); len(left) > 0 {
			out = append(out, ExemplarSeries{Labels: s.Labels, Exemplars: left})
		}
	}
	return out
}

// oldestOfNewest is the time of the oldest of the newest n exemplars; false: there are no more than these.
func oldestOfNewest(list []ExemplarSeries, n int) (int64, bool) {
	var times []int64
	for _, s := range list {
		for _, e := range s.Exemplars {
			times = append(times, e.Ts)
		}
	}
	if len(times) <= n {
		return 0, false
	}
	slices.Sort(times)
	return times[len(times)-n], true
}

// since leaves out what is older.
func since(list []ExemplarSeries, oldest int64) []ExemplarSeries {
	return matchingExemplars(list, oldest, MaxTime, nil)
}

// writeExemplars writes the file, or removes it where there is nothing to write.
func writeExemplars(path string, list []ExemplarSeries) error {
	if len(list) == 0 {
		err := os.Remove(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	var series []record.RefSeries
	var all []record.RefExemplar
	for i, s := range list {
		ref := chunks.HeadSeriesRef(i + 1)
		series = append(series, record.RefSeries{Ref: ref, Labels: s.Labels})
		for _, e := range s.Exemplars {
			all = append(all, record.RefExemplar{Ref: ref, T: e.Ts, V: e.Value, Labels: e.Labels})
		}
	}
	var enc record.Encoder
	first := enc.Series(series, nil)
	plain := append(binary.BigEndian.AppendUint32(nil, uint32(len(first))), first...)
	plain = append(plain, enc.Exemplars(all, nil)...)
	return writeFileAtomic(path, withChecksum(append([]byte(exemplarsMagic), snappy.Encode(nil, plain)...)))
}

func withChecksum(data []byte) []byte {
	return binary.BigEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
}

// readExemplars reads the file; there are none where there is no file.
func readExemplars(path string) ([]ExemplarSeries, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeExemplars(data)
}

// maxSnappyRatio is more than snappy can make of a byte: 64 of 3. A damaged file could say anything.
const maxSnappyRatio = 64

func decodeExemplars(data []byte) ([]ExemplarSeries, error) {
	body := len(data) - 4
	if body < len(exemplarsMagic) || string(data[:len(exemplarsMagic)]) != exemplarsMagic {
		return nil, fmt.Errorf("%w: no file of exemplars", errDamaged)
	}
	if crc32.Checksum(data[:body], castagnoli) != binary.BigEndian.Uint32(data[body:]) {
		return nil, fmt.Errorf("%w: wrong checksum", errDamaged)
	}
	packed := data[len(exemplarsMagic):body]
	if n, err := snappy.DecodedLen(packed); err != nil || n > maxSnappyRatio*len(packed) || n < 4 {
		return nil, fmt.Errorf("%w: not snappy", errDamaged)
	}
	plain, err := snappy.Decode(nil, packed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	n := binary.BigEndian.Uint32(plain)
	if uint64(n) > uint64(len(plain)-4) {
		return nil, fmt.Errorf("%w: %d bytes of series in %d", errDamaged, n, len(plain))
	}
	if !labelsFit(plain[4:4+n], 0, func(d *encoding.Decbuf) { d.Be64() }) ||
		!labelsFit(plain[4+n:], 16, func(d *encoding.Decbuf) { d.Varint64(); d.Varint64(); d.Be64() }) {
		return nil, fmt.Errorf("%w: labels end early", errDamaged)
	}
	dec := record.NewDecoder(labels.NewSymbolTable(), slog.New(slog.DiscardHandler))
	series, err := dec.Series(plain[4:4+n], nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	all, err := dec.Exemplars(plain[4+n:], nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	out := make([]ExemplarSeries, len(series))
	for i, s := range series {
		out[i].Labels = s.Labels
	}
	for _, e := range all {
		if e.Ref == 0 || uint64(e.Ref) > uint64(len(out)) {
			return nil, fmt.Errorf("%w: exemplar of series %d of %d", errDamaged, e.Ref, len(out))
		}
		s := &out[e.Ref-1]
		s.Exemplars = append(s.Exemplars, exemplar.Exemplar{Labels: e.Labels, Value: e.V, Ts: e.T, HasTs: true})
	}
	return out, nil
}

// labelsFit reports whether a record has as many labels as it says: the library's decoder makes room for all of them first.
// Behind its type and a head of so many bytes a record has elements, of which each begins with what skip reads and ends with
// its labels.
func labelsFit(rec []byte, head int, skip func(*encoding.Decbuf)) bool {
	d := encoding.Decbuf{B: rec[min(1, len(rec)):]}
	if d.Len() > 0 {
		d.Skip(head)
	}
	for d.Len() > 0 && d.Err() == nil {
		skip(&d)
		for n := d.Uvarint64(); n > 0 && d.Err() == nil; n-- {
			d.UvarintBytes()
			d.UvarintBytes()
		}
	}
	return d.Err() == nil
}

// shutExemplars are those that a closed database left. What can't be read is a warning.
func (h *Heads) shutExemplars(ctx context.Context, id string, start, end int64, sets [][]*labels.Matcher) []ExemplarSeries {
	if tenant.Validate(id) != nil {
		return nil
	}
	list, err := readExemplars(filepath.Join(h.opts.Dir, id, exemplarsFile))
	if err != nil {
		addWarning(ctx, fmt.Errorf("older exemplars are left out of the answer: %w", err))
	}
	return undeleted(matchingExemplars(list, start, end, sets), h.deleted(id).Overlapping(start, end))
}

// purgeShut removes what is to be deleted from the files that closed databases left: when the requests are processed nobody
// knows of them any more.
func (h *Heads) purgeShut(ctx context.Context) error {
	if h.opts.Deleted == nil {
		return nil
	}
	entries, err := os.ReadDir(h.opts.Dir)
	if err != nil {
		return fmt.Errorf("list metrics folder: %w", err)
	}
	var errs []error
	for _, e := range entries {
		id := e.Name()
		if ctx.Err() != nil {
			break
		}
		if gone := h.deleted(id); gone != nil && tenant.Validate(id) == nil {
			errs = append(errs, h.purgeShutTenant(id, gone))
		}
	}
	return errors.Join(errs...)
}

// purgeShutTenant keeps the database closed meanwhile. One that is open, or about to be, removes from the file by itself.
func (h *Heads) purgeShutTenant(id string, gone *Deletions) error {
	h.mu.Lock()
	if h.closed || h.tenants[id] != nil || h.moving[id] != nil {
		h.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	h.moving[id] = done
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.moving, id)
		close(done)
	}()
	path := filepath.Join(h.opts.Dir, id, exemplarsFile)
	list, err := readExemplars(path)
	if err != nil {
		return fmt.Errorf("read exemplars of tenant %s: %w", id, err)
	}
	left := undeleted(list, gone)
	if countExemplars(left) == countExemplars(list) {
		return nil
	}
	if err := writeExemplars(path, left); err != nil {
		return fmt.Errorf("write exemplars of tenant %s: %w", id, err)
	}
	return nil
}

func countExemplars(list []ExemplarSeries) (n int) {
	for _, s := range list {
		n += len(s.Exemplars)
	}
	return n
}
