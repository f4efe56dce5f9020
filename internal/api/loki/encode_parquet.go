package loki

import (
	"io"
	"net/http"
	"sort"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/hune-io/hune/internal/logs"
)

const parquetType = "application/vnd.apache.parquet"

// inParquet are the paths that answer in Parquet: those of queries.
var inParquet = map[string]bool{
	"/loki/api/v1/query":           true,
	"/loki/api/v1/query_range":     true,
	"/api/hune/v1/logs/trace/{id}": true,
}

func wantsParquet(r *http.Request) bool { return r.Header.Get("Accept") == parquetType }

// withoutParquet answers 406 to who takes Parquet only.
func withoutParquet(next func(http.ResponseWriter, *http.Request) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if wantsParquet(r) {
			refuseParquet(w, "application/json or "+protoType)
			return nil
		}
		return next(w, r)
	}
}

func refuseParquet(w http.ResponseWriter, instead string) {
	http.Error(w, "only answers to queries come in "+parquetType+": accept "+instead, http.StatusNotAcceptable)
}

// logRow is a row of an answer to a log query. Its columns are those of Loki: labels are all labels of the
// entry, structured metadata and parsed fields with them.
type logRow struct {
	Timestamp int64             `parquet:"timestamp,timestamp(nanosecond),delta"`
	Labels    map[string]string `parquet:"labels" parquet-key:",dict" parquet-value:",dict"`
	Line      string            `parquet:"line"`
}

// sampleRow is a row of an answer to a metric query, in the columns of Loki.
type sampleRow struct {
	Timestamp int64             `parquet:"timestamp,timestamp(millisecond),delta"`
	Labels    map[string]string `parquet:"labels" parquet-key:",dict" parquet-value:",dict"`
	Value     float64           `parquet:"value"`
}

// The leaves of both schemas by number; the last is line or value.
const (
	timestampColumn = iota
	keyColumn
	labelColumn
	lastColumn
)

var (
	logSchema    = parquet.SchemaOf(logRow{})
	sampleSchema = parquet.SchemaOf(sampleRow{})
)

// rowGroupBytes is how much of an answer, before compression, goes into one row group: a writer holds one in
// memory. Readers work group by group, and like them large.
const rowGroupBytes = 8 << 20

// rowBatch is how many rows the library takes at once.
const rowBatch = 64

// parquetWriter writes rows, which share the labels of a series, and holds no more than a row group of them.
// The first error stays.
type parquetWriter struct {
	w      *parquet.Writer
	limit  int             // bytes of a row group
	size   int             // bytes in the row group at hand, about
	labels []parquet.Value // of the series at hand: keys, then values
	rows   []parquet.Row   // not written yet; rows behind them keep their memory
	err    error
}

func newParquetWriter(w io.Writer, schema *parquet.Schema, by BuildInfo, limit int) *parquetWriter {
	return &parquetWriter{
		w:     parquet.NewWriter(w, schema, parquet.Compression(&parquet.Snappy), parquet.CreatedBy("hune", by.Version, by.Revision)),
		limit: limit,
		rows:  make([]parquet.Row, 0, rowBatch),
	}
}

// series says whose the next rows are.
func (p *parquetWriter) series(ls labels.Labels) {
	p.labels = p.labels[:0]
	for _, column := range []int{keyColumn, labelColumn} {
		first := len(p.labels)
		ls.Range(func(l labels.Label) {
			s := l.Name
			if column == labelColumn {
				s = l.Value
			}
			again := min(len(p.labels)-first, 1) // the first value begins the map, the others go on with it
			p.labels = append(p.labels, text(s).Level(again, 1, column))
			p.size += len(s)
		})
		if len(p.labels) == first {
			p.labels = append(p.labels, parquet.NullValue().Level(0, 0, column))
		}
	}
}

// row adds a row of the series at hand. size is how many bytes last takes.
func (p *parquetWriter) row(timestamp int64, last parquet.Value, size int) {
	if p.err != nil {
		return
	}
	n := len(p.rows)
	p.rows = p.rows[:n+1]
	row := append(p.rows[n][:0], parquet.Int64Value(timestamp).Level(0, 0, timestampColumn))
	row = append(row, p.labels...)
	p.rows[n] = append(row, last.Level(0, 0, lastColumn))
	p.size += size + 8 + 8*len(p.labels) // labels are numbers of a dictionary
	if full := p.size >= p.limit; full || n+1 == rowBatch {
		p.write()
		if full && p.err == nil {
			p.err, p.size = p.w.Flush(), 0
		}
	}
}

// write hands the rows to the library, which copies them.
func (p *parquetWriter) write() {
	if p.err == nil {
		_, p.err = p.w.WriteRows(p.rows)
	}
	p.rows = p.rows[:0]
}

// close writes what is left and the footer.
func (p *parquetWriter) close() error {
	p.write()
	if p.err != nil {
		return p.err
	}
	return p.w.Close()
}

// text is s as a column of strings, which must be UTF-8: what is not becomes U+FFFD, as in JSON.
func text(s string) parquet.Value {
	if !utf8.ValidString(s) {
		s = string([]rune(s))
	}
	return parquet.ByteArrayValue(bytesOf(s))
}

// writeParquet answers a query in rows: those of a stream or series stand together, in the order of the
// answer in JSON. An error that comes after the first byte can't be told: it ends the connection.
func writeParquet(w http.ResponseWriter, res *logs.Result, q *logs.Query, isLog bool, by BuildInfo) error {
	w.Header().Set("Content-Type", parquetType)
	out := startedWriter{w: w}
	err := encodeParquet(&out, res, q, isLog, by, rowGroupBytes)
	if err != nil && out.started {
		panic(http.ErrAbortHandler)
	}
	return err
}

// startedWriter knows whether anything was written.
type startedWriter struct {
	w       io.Writer
	started bool
}

func (s *startedWriter) Write(b []byte) (int, error) {
	s.started = true
	return s.w.Write(b)
}

// encodeParquet writes res in row groups of about so many bytes.
func encodeParquet(w io.Writer, res *logs.Result, q *logs.Query, isLog bool, by BuildInfo, groupBytes int) error {
	schema := sampleSchema
	if isLog {
		schema = logSchema
	}
	p := newParquetWriter(w, schema, by, groupBytes)
	switch {
	case isLog:
		p.streams(res.Streams)
	case q.Kind == logs.Range:
		p.matrix(res.Matrix)
	case res.Scalar != nil:
		p.matrix([]logs.SampleSeries{{Points: []logs.Point{*res.Scalar}}})
	default:
		p.matrix(vectorSeries(res.Vector))
	}
	return p.close()
}

func (p *parquetWriter) streams(all []logs.StreamResult) {
	sort.SliceStable(all, func(i, j int) bool { return labels.Compare(all[i].Labels, all[j].Labels) < 0 })
	for i := range all {
		p.series(all[i].Labels)
		for j := range all[i].Entries {
			e := &all[i].Entries[j]
			p.row(e.Timestamp, text(e.Line), len(e.Line))
		}
	}
}

func (p *parquetWriter) matrix(all []logs.SampleSeries) {
	for i := range all {
		p.series(all[i].Labels)
		for _, pt := range all[i].Points {
			p.row(pt.T, parquet.DoubleValue(pt.V), 8)
		}
	}
}
