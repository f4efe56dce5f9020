package deletes

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"

	"github.com/thanos-io/objstore"

	"github.com/hune-io/hune/internal/signal"
	"github.com/hune-io/hune/internal/traces"
)

// A list of traces is drawn in docs/formats/trace-deletes.md.
const (
	idsMagic  = "HUNEIDS\x01"
	idsSuffix = ".ids"
	idLen     = len(traces.ID{})
	maxIDs    = len(idsMagic) + 8 + maxTraces*idLen + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errUnreadable says that a list is damaged, or that a later version of the program wrote it.
var errUnreadable = errors.New("unreadable list of traces")

func idsPath(tenant, request string) string {
	return path.Join(tenant, string(signal.Traces), "deletes", request+idsSuffix)
}

func writeIDs(ctx context.Context, bkt objstore.Bucket, name string, set *traces.IDSet) error {
	if err := bkt.Upload(ctx, name, bytes.NewReader(appendIDs(nil, set))); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func readIDs(ctx context.Context, bkt objstore.Bucket, name string) (*traces.IDSet, error) {
	rc, err := bkt.Get(ctx, name)
	if err != nil && bkt.IsObjNotFoundErr(err) {
		return nil, fmt.Errorf("read %s: %w: it is not there", name, errUnreadable)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	content, err := io.ReadAll(io.LimitReader(rc, int64(maxIDs)+1))
	if err = errors.Join(err, rc.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	set, err := decodeIDs(content)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", name, errUnreadable, err)
	}
	return set, nil
}

func appendIDs(dst []byte, set *traces.IDSet) []byte {
	from := len(dst)
	dst = append(dst, idsMagic...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(set.Len()))
	for _, id := range set.IDs() {
		dst = append(dst, id[:]...)
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[from:], castagnoli))
}

func decodeIDs(b []byte) (*traces.IDSet, error) {
	head := len(idsMagic) + 8
	if len(b) > maxIDs {
		return nil, fmt.Errorf("more than %d bytes", maxIDs)
	}
	if len(b) < head+4 || string(b[:len(idsMagic)]) != idsMagic {
		return nil, errors.New("not a list of traces of version 1")
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return nil, fmt.Errorf("CRC32C is %08x, want %08x", got, sum)
	}
	n := binary.LittleEndian.Uint64(b[len(idsMagic):])
	if n > maxTraces || len(body) != head+int(n)*idLen {
		return nil, fmt.Errorf("%d traces in %d bytes", n, len(body))
	}
	ids := make([]traces.ID, n)
	for i := range ids {
		copy(ids[i][:], body[head+i*idLen:])
		if i > 0 && bytes.Compare(ids[i-1][:], ids[i][:]) >= 0 {
			return nil, fmt.Errorf("trace %d is not in order", i)
		}
	}
	return traces.NewIDSet(ids), nil
}
