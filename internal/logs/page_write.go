package logs

import (
	"github.com/prometheus/prometheus/model/labels"
)

// pageWriter makes pages of rows: streams in ascending order of labels, the rows of a stream in order of
// time.
type pageWriter struct {
	options BlockOptions
	page    *pageBuilder // nil until the first row
	streams []labels.Labels
	current uint32
	pages   []encodedPage
}

// stream begins a stream. size is what its rows will hold, about, in bytes.
func (w *pageWriter) stream(ls labels.Labels, size int64) {
	w.streams = append(w.streams, ls)
	w.begin(uint32(len(w.streams)-1), size)
}

// begin is stream for a stream that has its number already.
func (w *pageWriter) begin(stream uint32, size int64) {
	if w.page == nil {
		w.page = builders[w.options.Level].get(w.options.Level)
	}
	if own := int64(w.options.PageBytes / ownPageShare); size >= own && int64(w.page.size) >= own {
		w.flush()
	}
	w.current, w.page.newRun = stream, true
}

// add adds a row to the stream that was begun last.
func (w *pageWriter) add(ts int64, line []byte, md []Label) {
	if !w.page.fits(len(line)+int(metadataSize(md)), &w.options) {
		w.flush()
	}
	w.page.add(w.current, ts, line, md)
}

// flush encodes the page at hand. The stream at hand goes on in the next one.
func (w *pageWriter) flush() {
	if w.page != nil && w.page.rows() > 0 {
		w.pages = append(w.pages, w.page.encode())
	}
}

// end encodes what is left. The writer takes no more rows.
func (w *pageWriter) end() {
	w.flush()
	if w.page != nil {
		builders[w.options.Level].put(w.page)
		w.page = nil
	}
}
