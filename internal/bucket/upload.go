package bucket

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/thanos-io/objstore"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrMismatch says that an object is not what was uploaded. Uploading again replaces it.
var ErrMismatch = errors.New("object differs from the file that was uploaded")

// Checksum returns length and CRC32C of what r holds.
func Checksum(r io.Reader) (size int64, crc uint32, err error) {
	h := crc32.New(castagnoli)
	size, err = io.Copy(h, r)
	return size, h.Sum32(), err
}

// UploadVerified uploads file as object name and returns nil only after it has read the object back
// and found it equal in size and CRC32C: from then on the file may be deleted.
func UploadVerified(ctx context.Context, bkt objstore.Bucket, name, file string) error {
	return upload(ctx, bkt, name, file, nil)
}

// UploadExpected is UploadVerified for a file that must have that size and CRC32C itself; it returns
// ErrMismatch, and uploads nothing, if it doesn't.
func UploadExpected(ctx context.Context, bkt objstore.Bucket, name, file string, size int64, crc uint32) error {
	return upload(ctx, bkt, name, file, func(gotSize int64, gotCRC uint32) error {
		if gotSize != size || gotCRC != crc {
			return fmt.Errorf("%w: %s has %d bytes with CRC32C %08x, want %d with %08x", ErrMismatch, file, gotSize, gotCRC, size, crc)
		}
		return nil
	})
}

func upload(ctx context.Context, bkt objstore.Bucket, name, file string, check func(size int64, crc uint32) error) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("upload %s: %w", name, err)
	}
	defer f.Close()
	size, crc, err := Checksum(f)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("upload %s: read %s: %w", name, file, err)
	}
	if check != nil {
		if err := check(size, crc); err != nil {
			return fmt.Errorf("upload %s: %w", name, err)
		}
	}
	if err := bkt.Upload(ctx, name, f); err != nil {
		return fmt.Errorf("upload %s: %w", name, err)
	}
	if err := Verify(ctx, bkt, name, size, crc); err != nil {
		return fmt.Errorf("upload %s: %w", name, err)
	}
	return nil
}

// Verify reads object name and returns ErrMismatch unless it has that size and CRC32C.
func Verify(ctx context.Context, bkt objstore.BucketReader, name string, size int64, crc uint32) error {
	attrs, err := bkt.Attributes(ctx, name)
	if err != nil {
		return fmt.Errorf("verify %s: %w", name, err)
	}
	if attrs.Size != size {
		return fmt.Errorf("verify %s: %w: %d bytes, want %d", name, ErrMismatch, attrs.Size, size)
	}
	rc, err := bkt.Get(ctx, name)
	if err != nil {
		return fmt.Errorf("verify %s: %w", name, err)
	}
	defer rc.Close()
	gotSize, gotCRC, err := Checksum(rc)
	if err != nil {
		return fmt.Errorf("verify %s: %w", name, err)
	}
	if gotSize != size || gotCRC != crc {
		return fmt.Errorf("verify %s: %w: %d bytes with CRC32C %08x, want %d with %08x", name, ErrMismatch, gotSize, gotCRC, size, crc)
	}
	return nil
}
