package alertmanager

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path"
)

// stateCopy is what a member copies of a tenant's state to the bucket, for the case that its disk is lost
// or another machine takes over: the notification log and the silences. Alerts are sent again by who has them.
//
//	"HAM1"  length of Notified (4 bytes, little endian)  Notified  Silences  CRC32C of all before (4 bytes)
type stateCopy struct{ Notified, Silences []byte }

const (
	copyMagic = "HAM1"
	maxCopy   = 256 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (c stateCopy) encode() []byte {
	out := append([]byte(copyMagic), binary.LittleEndian.AppendUint32(nil, uint32(len(c.Notified)))...)
	out = append(append(out, c.Notified...), c.Silences...)
	return binary.LittleEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
}

// decodeCopy is the inverse of encode.
func decodeCopy(data []byte) (stateCopy, error) {
	const head = len(copyMagic) + 4
	if len(data) < head+4 || string(data[:len(copyMagic)]) != copyMagic {
		return stateCopy{}, errors.New("is no copy of an alertmanager's state")
	}
	body, sum := data[:len(data)-4], binary.LittleEndian.Uint32(data[len(data)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return stateCopy{}, errors.New("checksum doesn't match")
	}
	n := uint64(binary.LittleEndian.Uint32(body[len(copyMagic):]))
	body = body[head:]
	if n > uint64(len(body)) {
		return stateCopy{}, fmt.Errorf("length %d of %d bytes", n, len(body))
	}
	return stateCopy{Notified: body[:n], Silences: body[n:]}, nil
}

// copies reads what all members copied of a tenant's state.
func (m *Alertmanager) copies(ctx context.Context, tenant string) ([]stateCopy, error) {
	var names []string
	if err := m.o.Bucket.Iter(ctx, stateFolder(tenant), func(name string) error {
		names = append(names, name)
		return nil
	}); err != nil {
		return nil, err
	}
	var out []stateCopy
	var errs []error
	for _, name := range names {
		data, err := m.read(ctx, name, maxCopy)
		if err != nil || data == nil {
			errs = append(errs, err)
			continue
		}
		c, err := decodeCopy(data)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		out = append(out, c)
	}
	return out, errors.Join(errs...)
}

// copyState copies a tenant's state to the bucket, unless nothing changed since the last copy.
func (m *Alertmanager) copyState(ctx context.Context, i *instance) error {
	notified, err := i.notified.MarshalBinary()
	if err != nil {
		return err
	}
	silences, err := i.silences.MarshalBinary()
	if err != nil {
		return err
	}
	// The order of entries is that of a map: equal states may look different, which costs a write.
	data := stateCopy{notified, silences}.encode()
	if bytes.Equal(data, i.copied) || len(notified)+len(silences) == 0 && i.copied == nil {
		return nil
	}
	if err := m.o.Bucket.Upload(ctx, path.Join(stateFolder(i.tenant), m.name), bytes.NewReader(data)); err != nil {
		return err
	}
	i.copied = data
	return nil
}
