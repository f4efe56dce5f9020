package column

import "github.com/hune-io/hune/internal/block"

const (
	pooledBelow = 4 << 10 // a smaller payload shares a blob
	// The length of a shared blob is what one small column costs to read. Strings compress the better the more stand together, and
	// so do integers where lines have many templates, whose slots are alike.
	poolLen      = 96 << 10
	smallPoolLen = 32 << 10
	fewTemplates = 64
	blobLen      = 1 << 20 // a longer payload is cut
)

// blobWriter stores payloads. Small ones are pooled, integers and strings apart: with hundreds of
// slots most columns are tiny, and a frame for each would eat what they save.
type blobWriter struct {
	level  block.Level
	infos  []BlobInfo
	stored [][]byte

	intPool, stringPool pool
	spine               *pool // nil, or what all small payloads go to

	// large is the class of payloads that are not pooled: Strings while entries of a dictionary are
	// encoded, Spine while a column of the spine is, else Bulk.
	large   Class
	scratch []byte
}

// pool is a shared blob that is being filled. Its place among the blobs is taken when it is begun.
type pool struct {
	class Class
	most  int // bytes
	blob  int
	data  []byte
}

func (w *blobWriter) reset(level block.Level) {
	w.level, w.large = level, Bulk
	w.infos, w.stored = nil, nil
	w.intPool = pool{class: Strings, most: smallPoolLen, data: w.intPool.data[:0]}
	w.stringPool = pool{class: Strings, most: poolLen, data: w.stringPool.data[:0]}
}

// putInts and putString store a payload that may share a blob.
func (w *blobWriter) putInts(b []byte) Payload   { return w.put(&w.intPool, b) }
func (w *blobWriter) putString(b []byte) Payload { return w.put(&w.stringPool, b) }

func (w *blobWriter) put(p *pool, b []byte) Payload {
	if w.spine != nil {
		p = w.spine
	}
	if len(b) >= pooledBelow {
		return w.putOwn(b, w.large)
	}
	if len(p.data)+len(b) > p.most {
		w.sealPool(p)
	}
	if len(p.data) == 0 {
		p.blob = w.take()
	}
	at := Payload{Blob: p.blob, Off: len(p.data), Len: len(b)}
	p.data = append(p.data, b...)
	return at
}

// expect prepares for the columns of so many templates.
func (w *blobWriter) expect(templates int) {
	if templates > fewTemplates {
		w.intPool.most = poolLen
	}
}

// inSpine calls f, whose payloads get blobs of the spine, and no others do.
func (w *blobWriter) inSpine(f func()) {
	w.spine, w.large = &pool{class: Spine, most: smallPoolLen}, Spine
	f()
	w.sealPool(w.spine)
	w.spine, w.large = nil, Bulk
}

// putOwn stores a payload in blobs of its own.
func (w *blobWriter) putOwn(b []byte, class Class) Payload {
	at := Payload{Blob: len(w.infos), Len: len(b)}
	for {
		piece := b[:min(len(b), blobLen)]
		w.store(w.take(), piece, class)
		if b = b[len(piece):]; len(b) == 0 {
			return at
		}
	}
}

// putSmaller stores a payload in a blob of its own, if it fits one: b, or another form of
// it, which compressing gains nothing for, if that saves more than least bytes.
func (w *blobWriter) putSmaller(b, dense []byte, class Class, least int) Payload {
	at := w.putOwn(b, class)
	if len(b) <= blobLen && len(dense)+least < w.infos[at.Blob].StoredLen {
		w.pack(at.Blob, dense, class, block.CodecRaw)
		at.Len = len(dense)
	}
	return at
}

func (w *blobWriter) sealPool(p *pool) {
	if len(p.data) > 0 {
		w.store(p.blob, p.data, p.class)
		p.data = p.data[:0]
	}
}

// seal stores what is pooled.
func (w *blobWriter) seal() {
	w.sealPool(&w.intPool)
	w.sealPool(&w.stringPool)
}

// size returns the stored bytes so far.
func (w *blobWriter) size() (n int) {
	for i := range w.infos {
		n += w.infos[i].StoredLen
	}
	return n
}

// take makes room for a blob.
func (w *blobWriter) take() int {
	w.infos = append(w.infos, BlobInfo{})
	w.stored = append(w.stored, nil)
	return len(w.infos) - 1
}

func (w *blobWriter) store(i int, b []byte, class Class) {
	codec := block.CodecZstd
	if looksRandom(b) {
		codec = block.CodecRaw
	}
	w.pack(i, b, class, codec)
}

func (w *blobWriter) storeRaw(b []byte, class Class) { w.pack(w.take(), b, class, block.CodecRaw) }

func (w *blobWriter) pack(i int, b []byte, class Class, codec block.Codec) {
	var ref block.Ref
	w.scratch, ref = block.Pack(w.scratch[:0], b, codec, w.level)
	w.stored[i] = append(make([]byte, 0, len(w.scratch)), w.scratch...)
	w.infos[i] = BlobInfo{Class: class, Codec: ref.Codec, StoredLen: int(ref.StoredLen), RawLen: int(ref.RawLen)}
}

// looksRandom reports whether the bytes of b seem to be evenly distributed, so that compressing them is in
// vain: packed identifiers are such. It looks at three samples, so it may err on either side.
func looksRandom(b []byte) bool {
	const piece = 2 << 10
	if len(b) < 4*piece {
		return false
	}
	var counts [256]int
	for _, at := range [...]int{0, len(b)/2 - piece/2, len(b) - piece} {
		for _, c := range b[at : at+piece] {
			counts[c]++
		}
	}
	// Chi-square with 255 degrees of freedom: 255 ± 23 for random bytes, times 24 here so that it stays
	// in integers. What exceeds 420 has something that entropy coding can use.
	const each = 3 * piece / 256
	sum := 0
	for _, n := range counts {
		sum += (n - each) * (n - each)
	}
	return sum < 420*each
}
